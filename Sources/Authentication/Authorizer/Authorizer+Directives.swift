import Bytes
package import ConfigFile
import HTTPMessage
import Routing
import Time

extension Authorizer {
    /// The directives that describe its servers; they are those of an upstream.
    package static let serverDirectives = ["server", "tls", "protocol", "connect_timeout", "max_connections", "max_waiting", "keepalive"]

    /// Reads `authorizer NAME { … }`, but for its servers; nil when a part of it is wrong.
    package convenience init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.hasArguments(1...1, "NAME { … }", diagnostics) else { return nil }
        let errors = diagnostics.count
        let block = Block(of: directive, title: "an authorizer", diagnostics)
        for name in Self.serverDirectives { _ = block.all(name) }
        if block.one("upstream") != nil {
            for name in Self.serverDirectives {
                for extra in block.all(name) {
                    diagnostics.error("the upstream says that already", at: extra.name, hint: "remove this line, or upstream")
                }
            }
        } else if block.all("server").isEmpty {
            diagnostics.error("an authorizer has no server", at: directive.name, hint: "add: server 127.0.0.1:9091; or upstream NAME;")
        }
        let method = block.one("method").flatMap { $0.word("GET", diagnostics) }
        if let method, !["GET", "HEAD", "POST"].contains(method.text) {
            diagnostics.error("an authorizer is asked with GET, HEAD or POST", at: method)
        }
        let path = block.one("path").flatMap { $0.word("/PATH", diagnostics) }.flatMap { URLTemplate(path: $0, diagnostics) }
        var host: Template?
        var names: Set<String> = []
        var sent: [SentField] = []
        for send in block.all("send") {
            guard send.takes(2...2, "NAME VALUE", diagnostics), let value = Template(send.arguments[1], diagnostics) else { continue }
            let name = send.arguments[0]
            let identity = String(decoding: FieldIdentity.fold(name.text), as: UTF8.self)
            if !names.insert(identity).inserted { diagnostics.error("\(name.text) is sent twice", at: name) }
            if identity == "host" {
                if value.parts == [.text("")] {
                    diagnostics.error("a request names a host", at: send.arguments[1], hint: "remove this line")
                }
                host = value
            } else if Self.reserved.contains(identity) || name.text.isEmpty || !name.text.utf8.allSatisfy(ASCII.isToken) {
                diagnostics.error("'\(name.text)' cannot be sent", at: name, hint: "the gateway frames the request itself")
            } else {
                sent.append(SentField(name: name.text, value: value))
            }
        }
        let claims = block.all("claim").compactMap { ClaimField($0, diagnostics) }
        for (index, claim) in claims.enumerated() where claims[..<index].contains(where: { $0.claim == claim.claim }) {
            diagnostics.error("the claim '\(claim.claim)' stands twice", at: block.all("claim")[index].position)
        }
        let passed = block.all("pass_response").flatMap { $0.words("NAME …", diagnostics) }
        for word in passed
        where Self.neverPassed.contains(word.text.lowercased()) || word.text.lowercased().hasPrefix("access-control-")
            || !word.text.utf8.allSatisfy(ASCII.isToken)
        {
            diagnostics.error("\(word.text) of its response cannot be passed on", at: word, hint: "such as Set-Cookie")
        }
        let follows = block.one("on_refusal")?.choice(["follow": true, "refuse": false], diagnostics) ?? false
        _ = block.one("when_fails").map { fails in
            if fails.arguments.map(\.text) != ["closed"] || fails.block != nil {
                diagnostics.error(
                    "an authorizer that fails lets nobody in", at: fails.position, hint: "write when_fails closed; or remove this line")
            }
        }
        let timeout = block.one("timeout")?.duration(diagnostics, in: .milliseconds(10)...(.seconds(60))) ?? .seconds(5)
        let cache = block.one("cache").flatMap { CacheRule($0, diagnostics) }
        let recheck = block.one("recheck")?.duration(diagnostics, in: .seconds(1)...(.seconds(86_400)))
        let scopeClaims = block.one("scope_claims")?.words("NAME …", diagnostics) ?? []
        let subjectClaims = block.one("subject_claims")?.words("NAME …", diagnostics) ?? []
        for word in scopeClaims + subjectClaims where !claims.contains(where: { $0.claim == word.text }) {
            diagnostics.error(
                "this authorizer has no claim '\(word.text)'", at: word, hint: "add: claim \(word.text) FIELD-OF-ITS-RESPONSE;")
        }
        let match = block.one("scope_match").flatMap { ScopeMatch($0, diagnostics) } ?? .exact
        block.finish()
        guard diagnostics.count == errors, let path = path ?? URLTemplate(path: directive.arguments[0].withText("/"), diagnostics) else {
            return nil
        }
        self.init(
            name: directive.arguments[0].text, line: diagnostics.line(of: directive.position), method: method?.text ?? "GET", path: path,
            host: host, sent: sent, claims: claims, passedFields: passed.map(\.text), followsRedirects: follows,
            timeout: Nanoseconds(timeout), cache: cache, recheck: recheck.map { Nanoseconds($0) },
            scopeReading: ScopeReading(
                claims: scopeClaims.isEmpty ? Issuer.usualScopeClaims : scopeClaims.map(\.text), match: match),
            subjectClaims: subjectClaims.isEmpty ? ["sub", "user"] : subjectClaims.map(\.text))
        for variable in variables {
            switch variable {
            case .claim, .tokenPayload:
                diagnostics.error("\(variable.name) is not known before the authorizer responds", at: directive.position)
            case .path(let name):
                diagnostics.error("an authorizer serves many routes, and not each has $path.\(name)", at: directive.position)
            default: break
            }
        }
        if diagnostics.count > errors { return nil }
    }

    /// Fields that frame a message, concern one connection, or are sent in any case.
    private static let reserved: Set<String> = Set(
        FieldName.allCases.filter { name in
            name.isHopByHop
                || [
                    .contentLength, .expect, .trailer, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .forwarded,
                    .xRequestID,
                ].contains(name)
        }.map(\.text))

    /// Fields that describe a message which the client does not get.
    private static let neverPassed: Set<String> = Set(
        FieldName.allCases.filter { $0.isHopByHop }.map(\.text) + [
            "content-length", "content-type", "content-encoding", "content-range", "date", "etag", "last-modified", "location",
            "www-authenticate", "x-request-id", "",
        ])
}

extension Authorizer.ClaimField {
    /// Reads `claim NAME FIELD [list [SEPARATOR]];`.
    fileprivate init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(2...4, "NAME FIELD [list [SEPARATOR]]", diagnostics) else { return nil }
        let words = directive.arguments
        let name = words[0].text.hasPrefix("$claim.") ? String(words[0].text.dropFirst(7)) : words[0].text
        guard !name.isEmpty, name.utf8.first != UInt8(ascii: "/") else {
            diagnostics.error("'\(words[0].text)' is not the name of a claim", at: words[0])
            return nil
        }
        guard !words[1].text.isEmpty, words[1].text.utf8.allSatisfy(ASCII.isToken) else {
            diagnostics.error("'\(words[1].text)' is not a field name", at: words[1])
            return nil
        }
        guard words.count == 2 || words[2].text == "list", words.count < 4 || !words[3].text.isEmpty else {
            diagnostics.error(
                "this claim is not understood", at: directive.position, hint: "write claim NAME FIELD; or claim NAME FIELD list;")
            return nil
        }
        claim = name
        field = words[1].text
        separator = words.count == 2 ? nil : words.count == 4 ? words[3].text : ","
    }
}

extension Authorizer.CacheRule {
    /// Reads `cache TIME [only] [$VARIABLE …];`.
    fileprivate init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard directive.takes(1...Int.max, "TIME [only] [$VARIABLE …]", diagnostics) else { return nil }
        let words = directive.arguments
        guard let time = Duration(word: words[0].text), (.milliseconds(100)...(.seconds(3_600))).contains(time) else {
            diagnostics.error("'\(words[0].text)' is not a time from 100ms to 1h", at: words[0], hint: "such as 10s")
            return nil
        }
        isExact = words.count > 1 && words[1].text == "only"
        var variables: [Variable] = []
        for word in words.dropFirst(isExact ? 2 : 1) {
            guard !word.isQuoted, word.text.hasPrefix("$"), let variable = Variable(String(word.text.dropFirst())) else {
                diagnostics.error("'\(word.text)' is not a variable", at: word, hint: Variable.advice(word.text))
                return nil
            }
            variables.append(variable)
        }
        let tellsWho = variables.contains { variable in
            switch variable {
            case .cookie, .header, .query: true
            default: false
            }
        }
        if !tellsWho, isExact || !variables.isEmpty {
            diagnostics.error(
                "one client would get what is meant for another", at: directive.position,
                hint: "name what tells them apart, such as $cookie.session; without any name all cookies do")
            return nil
        }
        self.time = Nanoseconds(time)
        self.variables = variables
    }
}

extension Word {
    fileprivate func withText(_ text: String) -> Word { Word(text: text, position: position, isQuoted: true) }
}
