import ConfigFile

extension Certificate {
    /// Reads `certificate CHAIN KEY;`.
    convenience init?(reading directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
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
