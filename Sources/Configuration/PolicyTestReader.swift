import Authentication
import Bytes
import ConfigFile
import System

/// Reads `test` blocks.
struct PolicyTestReader {
    let issuers: [Issuer]
    let authorizers: [Authorizer]
    let passwords: [PasswordFile]
    let upstreams: [String]
    let diagnostics: Diagnostics

    func read(_ directives: [Directive]) -> [PolicyTest] {
        var names: Set<String> = []
        var count = 0
        let tests = directives.compactMap { directive -> PolicyTest? in
            guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
            let word = directive.arguments[0]
            if !names.insert(word.text).inserted { diagnostics.error("test '\(word.text)' is defined twice", at: word) }
            let test = read(directive, named: word.text)
            count += test.cases.count
            return test
        }
        if count > PolicyTest.casesMax {
            diagnostics.error("the file has \(count) test cases, and \(PolicyTest.casesMax) are the most", at: directives.last?.position)
            return []
        }
        return tests
    }

    private func read(_ directive: Directive, named name: String) -> PolicyTest {
        let block = Block(of: directive, title: "a test", diagnostics)
        var personas: [String: PolicyTest.Persona] = ["nobody": PolicyTest.Persona(name: "nobody", claims: nil)]
        for one in block.all("as") {
            guard let word = one.arguments.first, one.arguments.count == 1 else {
                diagnostics.error("'as' takes one name", at: one.position, hint: "write: as clerk { issuer NAME; scopes …; }")
                continue
            }
            if personas[word.text] != nil, word.text != "nobody" { diagnostics.error("'\(word.text)' is defined twice", at: word) }
            if word.text == "nobody" {
                if one.block != nil { diagnostics.error("nobody has no credential, and so no block", at: word, hint: "write: as nobody;") }
                continue
            }
            if let persona = persona(one, named: word.text) { personas[word.text] = persona }
        }
        let cases = block.all("allow", "refuse", "answer").compactMap { read($0, personas) }
        block.finish(later: ["invariant"])
        return PolicyTest(name: name, cases: cases)
    }

    /// `as clerk { issuer usso; scopes read:orders; claim sub clerk; by cookie; }`.
    private func persona(_ directive: Directive, named name: String) -> PolicyTest.Persona? {
        let block = Block(of: directive, title: "a persona", diagnostics)
        var claims = UnsignedClaims()
        var issuer = issuers.count == 1 ? issuers.first : nil
        if let word = block.one("authorizer").flatMap({ $0.word("NAME", diagnostics) }) {
            guard let index = authorizers.firstIndex(where: { $0.name == word.text }) else {
                let meant = nearest(to: word.text, among: authorizers.map(\.name))
                diagnostics.error("there is no authorizer '\(word.text)'", at: word, hint: meant.map { "did you mean '\($0)'?" })
                return nil
            }
            if let other = block.one("issuer") {
                diagnostics.error("a persona is of an issuer or of an authorizer, not both", at: other.name)
            }
            claims.credential = .authorizer(AuthorizerID(index))
            issuer = nil
        } else if let word = block.one("htpasswd").flatMap({ $0.word("NAME", diagnostics) }) {
            guard let index = passwords.firstIndex(where: { $0.name == word.text }) else {
                let meant = nearest(to: word.text, among: passwords.map(\.name))
                diagnostics.error("there is no htpasswd '\(word.text)'", at: word, hint: meant.map { "did you mean '\($0)'?" })
                return nil
            }
            claims.credential = .password(PasswordFileID(index))
            issuer = nil
        } else if let word = block.one("issuer").flatMap({ $0.word("NAME", diagnostics) }) {
            issuer = issuers.first { $0.name == word.text }
            if issuer == nil {
                let meant = nearest(to: word.text, among: issuers.map(\.name))
                diagnostics.error("there is no issuer '\(word.text)'", at: word, hint: meant.map { "did you mean '\($0)'?" })
                return nil
            }
        } else if issuer == nil {
            diagnostics.error(
                "this persona names no issuer and no authorizer", at: directive.position, hint: "add: issuer NAME; or authorizer NAME;")
            return nil
        }
        if let scopes = block.one("scopes")?.words("SCOPE …", diagnostics).map(\.text),
            let name = issuer?.scopeClaims.first ?? scopeClaim(claims.credential)
        {
            claims.set(name, .array(scopes.map { .string($0) }))
        }
        var named: Set<String> = []
        for claim in block.all("claim") {
            guard claim.takes(2...Int.max, "NAME VALUE …", diagnostics) else { continue }
            let name = claim.arguments[0].text
            if !named.insert(name).inserted {
                diagnostics.error(
                    "the claim '\(name)' stands twice", at: claim.position, hint: "several values are one claim: claim \(name) A B;")
            }
            if name.utf8.count(where: { $0 == UInt8(ascii: "/") }) > pointerPartsMax {
                diagnostics.error("the claim is nested deeper than \(pointerPartsMax) names", at: claim.arguments[0])
                continue
            }
            set(name, Array(claim.arguments.dropFirst()), in: &claims)
        }
        if let kinds = block.one("by")?.choice(["cookie": CredentialKind.cookie, "header": .field], diagnostics) { claims.kind = kinds }
        block.finish()
        if let issuer { claims.set("iss", .string(issuer.url)) }
        return PolicyTest.Persona(name: name, claims: claims)
    }

    private func scopeClaim(_ credential: CredentialID?) -> String? {
        guard case .authorizer(let id) = credential else { return nil }
        return authorizers[id.index].scopeReading.claims.first
    }

    /// Sets a claim: several words are an array; `exp`, `nbf` and `iat` are numbers, or `+5m` and `-5m` from the moment of the test.
    private func set(_ name: String, _ words: [Word], in claims: inout UnsignedClaims) {
        guard words.count == 1, let word = words.first else { return claims.set(name, .array(words.map { .string($0.text) })) }
        guard ["exp", "nbf", "iat"].contains(name) else { return claims.set(name, .string(word.text)) }
        if let sign = word.text.first, "+-".contains(sign), let duration = Duration(word: String(word.text.dropFirst())) {
            return claims.set(name, secondsFromNow: (sign == "-" ? -1 : 1) * duration.components.seconds)
        }
        guard let seconds = UInt64(word.text), seconds < 1 << 40 else {
            diagnostics.error(
                "'\(word.text)' is not a time of a token", at: word,
                hint: "write +5m or -5m from the moment of the test, or seconds since 1970")
            return
        }
        if name == "exp" {
            diagnostics.warning(
                "this test will not hold any more when that moment has passed", at: word,
                hint: "write it from the moment of the test: +5m, -5m")
        }
        claims.set(name, .number(JSONNumber(text: word.text, value: Double(seconds))))
    }

    private func read(_ directive: Directive, _ personas: [String: PolicyTest.Persona]) -> PolicyTest.Case? {
        let isAllow = directive.name.text == "allow"
        let usage =
            isAllow
            ? "WHO METHOD PATH [upstream NAME] [header NAME VALUE] [with NAME VALUE] [client IP]"
            : "WHO METHOD PATH [STATUS] [REASON] [with NAME VALUE] [client IP]"
        let isRefuse = directive.name.text == "refuse"
        guard directive.takes(3...Int.max, usage, diagnostics) else { return nil }
        let words = directive.arguments
        guard let persona = personas[words[0].text] else {
            let meant = nearest(to: words[0].text, among: personas.keys)
            diagnostics.error(
                "there is no persona '\(words[0].text)' in this test", at: words[0],
                hint: meant.map { "did you mean '\($0)'?" } ?? "define it with: as \(words[0].text) { … }")
            return nil
        }
        if words[1].text.isEmpty || !words[1].text.utf8.allSatisfy(ASCII.isToken) {
            diagnostics.error("'\(words[1].text)' is not a method", at: words[1], hint: "write \(usage);")
        }
        let url = words[2].text
        let isURL = url.hasPrefix("/") || url == "*" || url.hasPrefix("http://") || url.hasPrefix("https://")
        if !isURL || url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F || $0 == UInt8(ascii: "#") }) {
            diagnostics.error("'\(url)' is neither a path nor a URL of http or https", at: words[2], hint: "a path begins with /")
        }
        var rest = words.dropFirst(3)
        func take(_ count: Int, _ word: Word) -> [String]? {
            guard rest.count >= count else {
                diagnostics.error("'\(word.text)' needs \(count) word\(count == 1 ? "" : "s") behind it", at: word, hint: "write \(usage);")
                rest = []
                return nil
            }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).map(\.text)
        }
        var (fields, client, upstream): ([(name: String, value: String)], String, String?) = ([], "127.0.0.1", nil)
        var (expected, status, reason): ([String], Int?, String?) = ([], nil, nil)
        while let word = rest.popFirst() {
            switch word.text {
            case "with":
                guard let pair = take(2, word) else { break }
                if pair[0].isEmpty || !pair[0].utf8.allSatisfy(ASCII.isToken) || pair[1].utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
                    diagnostics.error("'\(pair[0]): \(pair[1])' is no field", at: word, hint: "write: with NAME VALUE")
                }
                fields.append((pair[0], pair[1]))
            case "client":
                guard let found = take(1, word)?.first else { break }
                guard let address = IPAddress(found) else {
                    diagnostics.error("'\(found)' is not an IP address", at: word)
                    break
                }
                client = address.text
            case "upstream" where isAllow:
                upstream = take(1, word)?.first
                if let upstream, !upstreams.contains(upstream) { diagnostics.error("there is no upstream '\(upstream)'", at: word) }
            case "header" where isAllow: if let pair = take(2, word) { expected.append("\(pair[0]): \(pair[1])") }
            default:
                if !isAllow, status == nil, let number = Int(word.text), 200...599 ~= number {
                    status = number
                } else if !isAllow, reason == nil,
                    word.text.utf8.allSatisfy({ UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || $0 == UInt8(ascii: "_") })
                {
                    reason = word.text
                } else {
                    diagnostics.error("'\(word.text)' is not understood here", at: word, hint: "write \(usage);")
                }
            }
        }
        return PolicyTest.Case(
            persona: persona, method: words[1].text, url: words[2].text, fields: fields, clientIP: client,
            expectation: isAllow
                ? .allow(upstream: upstream, fields: expected)
                : isRefuse ? .refuse(status: status, reason: reason) : .answer(status: status, reason: reason),
            text: diagnostics.redaction(([directive.name] + words).map(\.text).joined(separator: " ")), position: directive.position,
            line: diagnostics.line(of: directive.position))
    }
}

private let pointerPartsMax = 32
