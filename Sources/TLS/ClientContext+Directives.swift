package import ConfigFile

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
