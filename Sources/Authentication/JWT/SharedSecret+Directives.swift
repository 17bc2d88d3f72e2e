package import ConfigFile

extension Issuer.SecretFile {
    /// Reads `secret FILE [base64];`.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(1...2, "FILE [base64]", diagnostics) else { return nil }
        if directive.arguments.count == 2, directive.arguments[1].text != "base64" {
            diagnostics.error(
                "'\(directive.arguments[1].text)' is not understood here", at: directive.arguments[1],
                hint: "write secret FILE; or secret FILE base64;")
        }
        self.init(path: diagnostics.path(of: directive.arguments[0]), isBase64: directive.arguments.count == 2)
    }
}

extension SharedSecret {
    /// Reads a file; nil, with an error at `word`, where it holds no secret.
    package init?(_ file: Issuer.SecretFile, at word: Word, files: any FileSource, _ diagnostics: Diagnostics) {
        do {
            let content = try files.read(file.path)
            if let secret = SharedSecret(content, isBase64: file.isBase64) {
                self = secret
                return
            }
            diagnostics.error(
                "\(word.text) holds no secret of at least \(SharedSecret.bytesMin) bytes", at: word,
                hint: "a shorter one can be guessed; make one with: openssl rand -base64 48")
        } catch {
            diagnostics.error("cannot read \(error.path): \(error.reason)", at: word)
        }
        return nil
    }
}
