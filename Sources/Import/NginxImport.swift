package import ConfigFile

/// An nginx.conf as a gateway.conf.
package struct NginxImport {
    /// The directives of nginx.
    package let nginx: [NginxDirective]
    /// The directives of the gateway.
    package let gateway: [GatewayLine]
    package let record: ImportRecord
    /// What `--prove` asks for.
    package let places: [ImportedPlace]
    private let path: String

    /// - Throws: all that keeps the files from being read.
    package init(_ path: String, files: any FileSource, options: ImportOptions = ImportOptions()) throws(NginxSyntaxError) {
        let (directives, includes) = try NginxReader.read(path, from: files)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
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
        guard !importer.listeners.isEmpty else {
            throw NginxSyntaxError(problems: [
                .init(
                    message: "\(path) has no server of HTTP to import", line: nil,
                    hint: "name a file with server { listen …; location … { … } }")
            ])
        }
    }

    /// The file that is written.
    package var text: String {
        "# Written by portcullis import-nginx from \(path.filter { !$0.isNewline }). \(record.summary)"
            + "# Read each NOTE and REFUSED of its report; a route that answers 501 is one that was refused.\n\n"
            + gateway.map { $0.text() }.joined()
    }
}
