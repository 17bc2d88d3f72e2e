import ConfigFile

extension Certificate {
    /// How long before its end a certificate is told of.
    package static let warnedOfDays: Int64 = 30

    /// Reads `certificate CHAIN KEY;`.
    convenience init?(reading directive: Directive, files: any FileSource, _ diagnostics: Diagnostics) {
        guard directive.takes(2...2, "CHAIN.pem KEY.pem", diagnostics) else { return nil }
        let (chain, key) = (directive.arguments[0], directive.arguments[1])
        guard let chainPEM = read(chain, files, diagnostics), let keyPEM = read(key, files, diagnostics) else { return nil }
        do {
            try self.init(chainPEM: chainPEM, keyPEM: keyPEM)
            let left = secondsLeft
            let days = abs(left) / 86_400
            if left < 0 {
                diagnostics.warning("this certificate, for \(name), expired \(days) day(s) ago: clients refuse it", at: chain)
            } else if days < Self.warnedOfDays {
                diagnostics.warning("this certificate, for \(name), expires in \(days) day(s)", at: chain)
            }
        } catch {
            switch error {
            case .noCertificate: diagnostics.error(error.explanation, at: chain)
            case .noKey, .keyDoesNotFit: diagnostics.error(error.explanation, at: key)
            }
            return nil
        }
    }
}
