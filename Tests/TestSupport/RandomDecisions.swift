package import Policy

/// Numbers that are the same in every run.
package struct Numbers {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func below(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(limit))
    }

    package mutating func one<Element>(of elements: [Element]) -> Element { elements[below(elements.count)] }
    package mutating func happens(oneIn count: Int) -> Bool { below(count) == 0 }
}

/// Random files, tokens and requests, of few words, so that all outcomes come up.
package enum RandomDecisions {
    private static let segments = ["a", "b", "api", "orders", "{id}", "*"]
    private static let scopes = ["read:orders", "create:orders", "read:a", "admin", "manage:orders/x"]
    private static let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PURGE"]

    /// A file of some routes; those that say nothing sensible are left out by the reader.
    package static func file(
        _ numbers: inout Numbers, listen: String = "127.0.0.1:1", upstream: String = "upstream.invalid:1",
        keys: (one: String, two: String) = ("/one.json", "/two.json")
    ) -> String {
        var text = """
            listen \(listen) { plaintext; }
            token { cookie session; header Authorization; header X-Api-Key; csrf \(numbers.one(of: ["on", "off", "strict"])); }
            issuer one { url https://one.example; keys \(keys.one); audience any; algorithms EdDSA; scope_match \(numbers.one(of: ["exact", "wildcard", "usso", "usso_anchored"])); }
            issuer two { url https://two.example; keys \(keys.two); audience api; algorithms EdDSA; require kind in access machine; }
            upstream app { server \(upstream); }

            """
        for _ in 0..<(2 + numbers.below(8)) {
            var path = (0..<numbers.below(4)).map { _ in "/" + numbers.one(of: segments) }.joined()
            while path.components(of: "{id}") > 1 { path = path.replacing("{id}", with: "*", maxReplacements: 1) }
            if numbers.happens(oneIn: 3) || path.isEmpty { path += "/**" }
            let answer = numbers.one(of: ["answer 200 '$client.ip'; ", "answer 302 /x/$client.ip; ", "answer 410; "])
            var route = "route \(path) { " + (numbers.happens(oneIn: 8) ? answer : "upstream app; ")
            if numbers.happens(oneIn: 4) { route += "host \(numbers.one(of: ["a.example", "*.example", "b.example"])); " }
            if numbers.happens(oneIn: 6) { route += "case_insensitive; " }
            if numbers.happens(oneIn: 6) { route += "max_body_size 10; " }
            if numbers.happens(oneIn: 5) { route += "cors { origin https://page.example; } " }
            let isPublic = numbers.happens(oneIn: 4)
            route += isPublic ? "public; " : "auth \(numbers.one(of: ["one", "two", "one two"])); "
            func demands(_ numbers: inout Numbers) -> String {
                guard !isPublic else { return "" }
                var text = ""
                if numbers.happens(oneIn: 2) { text += "scope \(numbers.one(of: scopes)); " }
                if numbers.happens(oneIn: 4) { text += "scope any \(scopes[0]) \(scopes[2]); " }
                if numbers.happens(oneIn: 4) { text += "require $claim.tenant = \(path.contains("{id}") ? "$path.id" : "a"); " }
                if numbers.happens(oneIn: 8) { text += "require $claim.roles != guest; " }
                return text
            }
            if numbers.happens(oneIn: 2) {
                route += demands(&numbers)
            } else {
                for method in ["GET HEAD", "POST", "PURGE"] where !numbers.happens(oneIn: 4) {
                    let isOpen = !isPublic && numbers.happens(oneIn: 8)
                    route += "method \(method) { \(isOpen ? "public; " : demands(&numbers))} "
                }
            }
            text += route + "}\n"
        }
        return text
    }

    package static func payload(_ numbers: inout Numbers, _ now: UInt64) -> String {
        var members = [
            "\"iss\":\"\(numbers.one(of: ["https://one.example", "https://one.example", "https://two.example", "https://three.example"]))\"",
            "\"exp\":\(numbers.happens(oneIn: 10) ? now - 100 : now + 1_000)",
        ]
        if !numbers.happens(oneIn: 8) { members.append("\"sub\":\"\(numbers.one(of: ["alice", "bob"]))\"") }
        if !numbers.happens(oneIn: 4) { members.append("\"aud\":[\"api\",\"x\"]") }
        if !numbers.happens(oneIn: 4) { members.append("\"kind\":\"\(numbers.one(of: ["access", "refresh"]))\"") }
        if !numbers.happens(oneIn: 3) { members.append("\"tenant\":\"\(numbers.one(of: ["a", "b", "7"]))\"") }
        if numbers.happens(oneIn: 3) { members.append("\"roles\":[\"\(numbers.one(of: ["guest", "user"]))\"]") }
        var held: [String] = []
        for scope in scopes + ["*:orders", "read:*"] where numbers.happens(oneIn: 2) { held.append("\"\(scope)\"") }
        members.append("\"scopes\":[\(held.joined(separator: ","))]")
        return "{\(members.joined(separator: ","))}"
    }

    package static func request(_ numbers: inout Numbers, _ tokens: [[UInt8]], _ now: UInt64) -> OfflineRequest {
        let spellings = ["a", "b", "A", "api", "orders", "7", "%61", "x.y", "..", ".", "", "a%2Fb", "a;b"]
        var target = (0..<numbers.below(5)).map { _ in
            "/" + numbers.one(of: numbers.happens(oneIn: 4) ? spellings : Array(spellings.prefix(6)))
        }
        .joined()
        if target.isEmpty { target = "/" }
        if numbers.happens(oneIn: 6) { target += "?q=\(numbers.below(9))" }
        if numbers.happens(oneIn: 40) { target = numbers.one(of: ["*", "//x", "a", "/%zz", "https://a.example/api", "/a#b"]) }
        let method = numbers.one(of: methods + ["GET", "GET", "GET", "OPTIONS", "TRACE", "get"])
        var request = OfflineRequest(
            method, target, host: numbers.one(of: ["a.example", "c.example", "localhost", "b.example:8443", "A.Example."]),
            isHTTPS: true, clientIP: "192.0.2.1", time: now)
        let token = numbers.one(of: tokens)
        switch numbers.below(6) {
        case 0: break
        case 1: request.fields.append(("Cookie", "x=1; session=\(String(decoding: token, as: UTF8.self))"))
        case 2: request.fields.append(("X-Api-Key", String(decoding: token, as: UTF8.self)))
        case 3: request.fields.append(("Authorization", numbers.one(of: ["Bearer x", "Basic dTpw", "bearer a.b.c"])))
        default: request.bearer = .token(token)
        }
        if numbers.happens(oneIn: 5) {
            request.fields.append(("Origin", numbers.one(of: ["https://page.example", "https://evil.example", "https://a.example"])))
        }
        if numbers.happens(oneIn: 8) { request.fields.append(("Sec-Fetch-Site", numbers.one(of: ["same-origin", "cross-site", "none"]))) }
        if numbers.happens(oneIn: 4) { request.fields.append(("Access-Control-Request-Method", "POST")) }
        if numbers.happens(oneIn: 8) { request.fields.append(("Content-Length", numbers.one(of: ["5", "50", "x"]))) }
        return request
    }

    /// A token of the issuer that its payload names; the first one is signed with the other's key.
    package static func tokens(_ count: Int, _ numbers: inout Numbers, _ one: TokenSigner, _ two: TokenSigner, _ now: UInt64) -> [[UInt8]] {
        (0..<count).map { index in
            let payload = payload(&numbers, now)
            return (index == 0 || payload.contains("two.example") ? two : one).token(payload)
        }
    }
}

extension String {
    fileprivate func components(of part: String) -> Int { ranges(of: part).count }
}
