package import ConfigFile

/// What a listener's `tls { … }` says.
package struct ServerTLSSettings {
    package let certificates: [Certificate]
    package let minimum: TLSVersion

    /// Reads the block; nil when a part of it is wrong.
    package init?(_ directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        let block = Block(of: directive, title: "tls", diagnostics)
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        let given = block.all("certificate")
        certificates = given.compactMap { Certificate(reading: $0, files: files, diagnostics) }
        minimum = block.one("minimum")?.choice(["1.2": TLSVersion.tls12, "1.3": .tls13], diagnostics) ?? .tls12
        block.finish(later: ["client_certificate", "maximum", "ciphers"])
        if given.isEmpty {
            diagnostics.error("tls has no certificate", at: directive.name, hint: "add: certificate CHAIN.pem KEY.pem;")
        }
        guard !certificates.isEmpty, certificates.count == given.count else { return nil }
    }
}

/// What `tls;` or `tls { … }` says about a server that the gateway connects to.
package struct ClientTLSSettings {
    package let context: ClientContext
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
        }
        serverName = block.one("server_name")?.word("NAME", diagnostics)?.text
        let trusted = block.one("trusted_certificate")
        let minimum = block.one("minimum")?.choice(["1.2": TLSVersion.tls12, "1.3": .tls13], diagnostics) ?? .tls12
        block.finish(later: ["verify"])
        guard let context = ClientContext(trusted, certificate, minimum, at: directive.name, files: files, diagnostics) else { return nil }
        self.context = context
    }
}

extension ClientContext {
    /// A context that trusts what `trusted_certificate FILE;` names, or the system's trust store where it is not given.
    package convenience init?(
        _ trusted: Directive?, _ certificate: Certificate? = nil, _ minimum: TLSVersion = .tls12, at word: Word,
        files: any FileSource, _ diagnostics: Diagnostics
    ) {
        var trustedPEM: [UInt8]?
        if let trusted {
            guard let file = trusted.word("FILE", diagnostics) else { return nil }
            guard let content = read(file, files, diagnostics) else { return nil }
            trustedPEM = content
        }
        do {
            try self.init(trustedPEM: trustedPEM, certificate: certificate, minimum: minimum)
        } catch {
            diagnostics.error(error.explanation, at: trusted?.arguments.first ?? word)
            return nil
        }
    }
}

extension Certificate {
    /// Reads `certificate CHAIN KEY;`.
    fileprivate convenience init?(reading directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.takes(2...2, "CHAIN.pem KEY.pem", diagnostics) else { return nil }
        let (chain, key) = (directive.arguments[0], directive.arguments[1])
        guard let chainPEM = read(chain, files, diagnostics), let keyPEM = read(key, files, diagnostics) else { return nil }
        do {
            try self.init(chainPEM: chainPEM, keyPEM: keyPEM)
        } catch {
            switch error {
            case .noCertificate: diagnostics.error(error.explanation, at: chain)
            case .noKey, .keyDoesNotFit: diagnostics.error(error.explanation, at: key)
            }
            return nil
        }
    }
}

private func read(_ path: Word, _ files: any FileSource, _ diagnostics: Diagnostics) -> [UInt8]? {
    do {
        return try files.read(path.text)
    } catch {
        diagnostics.error("cannot read \(error.path): \(error.reason)", at: path)
        return nil
    }
}
