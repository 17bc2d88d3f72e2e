import Time
import Bytes
package import ConfigFile

extension Issuer {
    /// Reads `issuer NAME { … }`; nil when a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let block = Block(of: directive, title: "an issuer", diagnostics)
        let errors = diagnostics.count
        name = directive.arguments[0].text
        let url = block.one("url").flatMap { $0.word("URL", diagnostics) }
        let keys = block.one("keys").flatMap { $0.word("FILE or https URL", diagnostics) }
        let secrets = block.all("secret").compactMap { directive in
            SecretFile(directive, diagnostics).map { (word: directive.arguments[0], file: $0) }
        }
        if let first = secrets.first, keys != nil {
            diagnostics.error(
                "an issuer has keys or a secret, not both", at: first.word,
                hint: "remove the one or the other: a public key that is taken for a secret lets in everybody")
        }
        let audiences = block.all("audience")
        let given = block.one("algorithms").map { $0.words("NAME …", diagnostics) }
        let givenRules = block.all("require").compactMap { ClaimRule($0, diagnostics) }
        let leewayDirective = block.one("leeway")
        let leewayGiven = leewayDirective?.duration(diagnostics, in: .zero...(.seconds(600)))
        if let leewayDirective, let leewayGiven, leewayGiven.components.attoseconds != 0 {
            diagnostics.error("a leeway is in whole seconds", at: leewayDirective.position)
        }
        leeway = UInt64(clamping: leewayGiven?.components.seconds ?? 30)
        scopeClaims = block.one("scope_claims")?.words("NAME …", diagnostics).map(\.text) ?? Self.usualScopeClaims
        scopeMatch = block.one("scope_match").flatMap { ScopeMatch($0, diagnostics) } ?? .exact
        subjectClaims = block.one("subject_claims")?.words("NAME …", diagnostics).map(\.text) ?? ["sub"]
        // A token of USSO says what it is for; one that does not, or says another thing, is no access token.
        let isUSSO = scopeMatch == .usso || scopeMatch == .ussoAnchored
        rules =
            isUSSO && !givenRules.contains { $0.claim == "token_type" }
            ? [ClaimRule(claim: "token_type", comparison: .isOneOf, values: ["access"])] + givenRules : givenRules
        tokenTypes = block.one("token_types").map { Self.tokenTypes($0, diagnostics) } ?? Self.usualTokenTypes
        let maxStale = block.one("max_stale")
        let staleGiven = maxStale?.duration(diagnostics, in: .seconds(60)...(.seconds(366 * 86_400)))
        if let maxStale, keys.map({ !$0.text.hasPrefix("https://") }) ?? false {
            diagnostics.error("max_stale is for keys at a URL: a file is never stale", at: maxStale.name, hint: "remove this line")
        }
        staleMax = Nanoseconds(staleGiven ?? .seconds(86_400))
        proxy = block.one("proxy").flatMap { $0.word("http://HOST:PORT", diagnostics) }.flatMap { word in
            if KeyProxy(word.text) == nil {
                diagnostics.error(
                    "'\(word.text)' is not a proxy", at: word, hint: "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT")
            }
            return KeyProxy(word.text)
        }
        trustedCertificate = block.one("trusted_certificate")?.arguments.first.map { diagnostics.path(of: $0) }
        block.finish(later: ["introspect", "api_keys", "revocation", "discovery"])

        if url == nil {
            diagnostics.error("an issuer has no url", at: directive.name, hint: "add: url https://…; it must equal the iss claim")
        }
        if keys == nil, secrets.isEmpty {
            diagnostics.error("an issuer has no keys", at: directive.name, hint: "add: keys FILE; or keys https://…/jwks.json;")
        }
        if audiences.isEmpty {
            diagnostics.error(
                "an issuer has no audience", at: directive.name,
                hint: "add: audience NAME; to take only tokens that are meant for you, or: audience any;")
        }
        if given == nil {
            diagnostics.error(
                "an issuer has no algorithms", at: directive.name, hint: "add: algorithms EdDSA ES256 RS256; or those that it uses")
        }
        algorithms = (given ?? []).compactMap { word in
            let algorithm = Algorithm(word.text)
            if algorithm == nil {
                let hint = "it is one of: \(Algorithm.allCases.map(\.name).joined(separator: ", "))"
                diagnostics.error("'\(word.text)' is not an algorithm that can be used", at: word, hint: hint)
            }
            if let algorithm, (algorithm.keyType == .secret) != !secrets.isEmpty {
                diagnostics.error(
                    "\(word.text) is \(secrets.isEmpty ? "for a shared secret, and this issuer has keys" : "for keys, and this issuer has a secret")",
                    at: word, hint: secrets.isEmpty ? "a shared secret stands in: secret FILE;" : "write HS256, HS384 or HS512")
                return nil
            }
            return algorithm
        }
        let audienceWords = audiences.flatMap { $0.words("NAME …", diagnostics).map(\.text) }
        self.audiences = audienceWords == ["any"] ? [] : audienceWords
        self.url = url?.text ?? ""
        switch keys {
        case .some(let word) where word.text.hasPrefix("https://"): self.keys = .url(word.text)
        case .some(let word):
            if word.text.hasPrefix("http://") {
                diagnostics.error(
                    "keys come over https or from a file", at: word, hint: "over http anyone on the way could put in a key of theirs")
            }
            if word.text.contains("://"), !word.text.hasPrefix("http://") {
                diagnostics.error("'\(word.text)' is not a place for keys", at: word, hint: "write a file's path or https://HOST/PATH")
            }
            self.keys = .file(diagnostics.path(of: word))
        case .none: self.keys = secrets.isEmpty ? .file("") : .secrets(secrets.map(\.file))
        }
        if diagnostics.count > errors { return nil }
    }
}

extension Issuer {
    /// Reads `token_types NAME …;`; `none` stands for a token without `typ`.
    private static func tokenTypes(_ directive: Directive, _ diagnostics: Diagnostics) -> [String] {
        directive.words("NAME …", diagnostics).map { word in
            if word.text.isEmpty || !word.text.utf8.allSatisfy({ ASCII.isToken($0) || $0 == 0x2F }) {
                diagnostics.error("'\(word.text)' is not a type", at: word, hint: "such as at+jwt, or none for a token without typ")
            }
            return word.text == "none" ? "" : word.text.lowercased()
        }
    }
}

extension ClaimRule {
    /// Reads `require NAME = VALUE;`, `require NAME != VALUE;` or `require NAME in VALUE …;`.
    fileprivate init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(3...Int.max, "CLAIM = VALUE", diagnostics) else { return nil }
        let (name, comparison) = (directive.arguments[0], directive.arguments[1])
        claim = name.text.hasPrefix("$claim.") ? String(name.text.dropFirst(7)) : name.text
        values = directive.arguments.dropFirst(2).map(\.text)
        switch comparison.text {
        case "=" where values.count == 1, "in": self.comparison = .isOneOf
        case "!=" where values.count == 1: self.comparison = .isNot
        default:
            diagnostics.error(
                "this rule is not understood", at: directive.position, hint: "write CLAIM = VALUE, CLAIM != VALUE or CLAIM in VALUE …")
            return nil
        }
    }
}

extension ScopeMatch {
    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(1...2, "exact|wildcard|usso [anchored]", diagnostics) else { return nil }
        switch directive.arguments.map(\.text) {
        case ["exact"]: self = .exact
        case ["wildcard"]: self = .wildcard
        case ["usso"]: self = .usso
        case ["usso", "anchored"]: self = .ussoAnchored
        default:
            diagnostics.error("there is no such scope_match", at: directive.position, hint: "it is exact, wildcard, usso or usso anchored")
            return nil
        }
    }
}
