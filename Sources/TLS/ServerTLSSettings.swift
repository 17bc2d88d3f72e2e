package import ConfigFile

/// What a listener's `tls { … }` says.
package struct ServerTLSSettings {
    package let certificates: [Certificate]
    /// Of each certificate.
    package let files: [CertificateFiles]
    package let minimum: TLSVersion

    /// Reads the block; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        let block = Block(of: directive, title: "tls", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        let given = block.all("certificate")
        certificates = given.compactMap { Certificate(reading: $0, files: files, diagnostics) }
        self.files = given.filter { $0.arguments.count == 2 }.map {
            CertificateFiles(chain: diagnostics.path(of: $0.arguments[0]), key: diagnostics.path(of: $0.arguments[1]))
        }
        minimum = block.one("minimum")?.choice(["1.2": TLSVersion.tls12, "1.3": .tls13], diagnostics) ?? .tls12
        block.finish(later: ["client_certificate", "maximum", "ciphers"])
        if given.isEmpty {
            diagnostics.error("tls has no certificate", at: directive.name, hint: "add: certificate CHAIN.pem KEY.pem;")
        }
        guard !certificates.isEmpty, certificates.count == given.count else { return nil }
    }
}

func read(_ path: Word, _ files: any FileSource, _ diagnostics: Diagnostics) -> [UInt8]? {
    do {
        return try files.read(diagnostics.path(of: path))
    } catch {
        diagnostics.error("cannot read \(error.path): \(error.reason)", at: path)
        return nil
    }
}
