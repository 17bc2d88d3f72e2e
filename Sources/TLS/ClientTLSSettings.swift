package import ConfigFile

/// What `tls;` or `tls { … }` says about a server that the gateway connects to.
package struct ClientTLSSettings {
    package let context: ClientContext
    /// What the gateway shows of itself comes from there; nil where it shows nothing.
    package let files: CertificateFiles?
    /// The name to verify instead of the one in the address.
    package let serverName: String?

    /// Reads the directive; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(0...0, "; or { … }", diagnostics) else { return nil }
        let block = Block(directive.block ?? [], title: "tls", opening: directive, diagnostics: diagnostics)
        var certificate: Certificate?
        if let given = block.one("certificate") {
            certificate = Certificate(reading: given, files: files, diagnostics)
            if certificate == nil { return nil }
            self.files = CertificateFiles(chain: diagnostics.path(of: given.arguments[0]), key: diagnostics.path(of: given.arguments[1]))
        } else {
            self.files = nil
        }
        serverName = block.one("server_name")?.word("NAME", diagnostics)?.text
        let trusted = block.one("trusted_certificate")
        let minimum = block.one("minimum")?.choice(["1.2": TLSVersion.tls12, "1.3": .tls13], diagnostics) ?? .tls12
        block.finish(later: ["verify"])
        guard let context = ClientContext(trusted, certificate, minimum, at: directive.name, files: files, diagnostics) else { return nil }
        self.context = context
    }
}
