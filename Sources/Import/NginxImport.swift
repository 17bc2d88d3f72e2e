package import ConfigFile

/// An nginx.conf as a gateway.conf.
package struct NginxImport {
    /// The directives of nginx.
    package let nginx: [NginxDirective]
    /// The directives of the gateway.
    package private(set) var gateway: [GatewayLine]
    package let record: ImportRecord
    /// What `--prove` asks for.
    package let places: [ImportedPlace]
    private let path: String

    /// - Throws: all that keeps the files from being read.
    package init(_ path: String, files: any FileSource, options: ImportOptions = ImportOptions()) throws(NginxSyntaxError) {
        let (directives, includes, folder) = try NginxReader.read(path, from: files)
        let importer = Importer(files: files, folder: folder, options: options)
        importer.record.list(includes)
        importer.record.list(directives)
        for include in includes { importer.record.converted(include) }
        nginx = directives
        gateway = importer.file(of: directives)
        record = importer.record
        places = importer.places
        self.path = path
        record.finish()
        guard gateway.contains(where: { $0.name == "listen" }) else {
            throw NginxSyntaxError(problems: [
                .init(
                    message: "\(path) has no server of HTTP to import", line: nil,
                    hint: "name a file with server { listen …; location … { … } }")
            ])
        }
    }

    /// With other lines of the gateway: those that pass check, or a file that somebody has edited.
    package func replacing(_ gateway: [GatewayLine]) -> NginxImport {
        var result = self
        result.gateway = gateway
        return result
    }

    /// The file that is written.
    package var text: String { heading + gateway.map { $0.text() }.joined() }

    /// The comment at its beginning.
    var heading: String {
        "# Written by portcullis import-nginx from \(path.filter { !$0.isNewline }). \(record.summary)"
            + "# Read each NOTE and REFUSED of its report; a route that answers 501 is one that was refused.\n\n"
    }
}
