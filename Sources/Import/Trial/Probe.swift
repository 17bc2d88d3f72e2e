/// A request that is sent to nginx and to the gateway.
package struct Probe: Sendable {
    package var method = "GET"
    package var target: String
    package let host: String
    package var fields: [String] = []
    /// Who asks, in words.
    package var who = "nobody"
    package let place: ImportedPlace
    var isBrowser = false
    /// A path that programs read in several ways.
    var isOdd = false
    /// A path that only begins as the location's.
    var isWithinSegment = false
    /// The path of the location with a slash behind it, or without its own.
    var isAtSlash = false
    var isPreflight = false

    package static let session = "Cookie: session=good; theme=dark"

    /// One to which any response will do.
    package static var ofReadiness: Probe {
        Probe(target: "/", host: "localhost", place: ImportedPlace(pattern: "/**", host: nil, differences: []))
    }

    /// The requests for one place.
    ///
    /// - Parameter forged: fields that routes set.
    package static func all(_ place: ImportedPlace, forged: [String]) -> [Probe] {
        let host = place.host ?? "unnamed.example"
        let base = place.pattern.hasSuffix("/**") ? String(place.pattern.dropLast(3)) : place.pattern
        let path = base.replacing("*", with: "sample")
        let hasTail = place.pattern.hasSuffix("/**")
        let inside = hasTail ? path + "/sample" : path
        func probe(_ target: String, _ change: (inout Probe) -> Void = { _ in }) -> Probe {
            var probe = Probe(target: target, host: host, place: place)
            change(&probe)
            return probe
        }
        var probes = [
            probe(inside),
            probe(inside) {
                ($0.fields, $0.who, $0.isBrowser) = (
                    ["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"], "a browser", true
                )
            },
            probe(inside) { ($0.fields, $0.who) = ([session], "a session") },
            probe(inside) { ($0.fields, $0.who) = ([session] + forged.map { "\($0): forged" }, "a session that forges fields") },
            probe(inside) { ($0.fields, $0.who) = (forged.map { "\($0): forged" }, "nobody, who forges fields") },
            probe(inside) { ($0.fields, $0.who) = (["Cookie: session=forbidden"], "a session that may not") },
            probe(inside) { ($0.fields, $0.who) = (["Cookie: session=broken"], "a session at which the authorizer fails") },
            probe(inside) { ($0.fields, $0.who) = (["Authorization: Bearer good"], "a token") },
            probe(inside) { ($0.fields, $0.who) = (["Authorization: Basic bm9ib2R5Omd1ZXNz"], "a wrong password") },
            probe(inside) { ($0.fields, $0.who) = (["Authorization: Basic YWxpY2U6d29uZGVybGFuZA=="], "a password") },
            probe(inside) { ($0.method, $0.fields, $0.who) = ("HEAD", [session], "a session") },
            probe(inside) { ($0.method, $0.fields, $0.who) = ("POST", [session, "Content-Length: 0"], "a session") },
            probe(inside) { ($0.method, $0.fields, $0.who) = ("DELETE", [session], "a session") },
            probe(inside) { ($0.method, $0.who) = ("OPTIONS", "nobody") },
            probe(inside) {
                ($0.method, $0.who, $0.isPreflight) = ("OPTIONS", "a preflight", true)
                $0.fields = ["Origin: https://app.example.com", "Access-Control-Request-Method: PUT"]
            },
            probe(inside) {
                ($0.fields, $0.who) = (
                    [
                        session, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: https://\(host)",
                    ], "a WebSocket"
                )
            },
            probe(inside + "?x=1&y=%2Fz&z=a%20b") { ($0.fields, $0.who) = ([session], "a session") },
        ]
        for (target, who) in [(path.isEmpty ? "/" : path, "nobody"), (path + "/", "nobody")] {
            probes.append(probe(target) { ($0.who, $0.isAtSlash) = (who, true) })
            probes.append(probe(target) { ($0.who, $0.isAtSlash, $0.fields) = ("a session", true, [session]) })
        }
        if hasTail {
            probes.append(probe(path + "/a%20b/%C3%A9") { ($0.fields, $0.who) = ([session], "a session") })
            for odd in ["/a%2Fb", "/a//b", "/./a", "/../a", "/%2e%2e/a", "/a;b=1/c", "/..%2fa", "/a%00b", "/%"] {
                probes.append(probe(path + odd) { $0.isOdd = true })
                probes.append(probe(path + odd) { ($0.isOdd, $0.fields, $0.who) = (true, [session], "a session") })
            }
            if place.differences.contains(.prefixWithinSegment) {
                probes.append(probe(path + "xyz") { $0.isWithinSegment = true })
                probes.append(probe(path + "xyz/a") { ($0.isWithinSegment, $0.fields, $0.who) = (true, [session], "a session") })
            }
        }
        return probes
    }

    /// The head of the request.
    package var head: String {
        (["\(method) \(target.isEmpty ? "/" : target) HTTP/1.1", "Host: \(host)"]
            + (fields.contains { $0.hasPrefix("Connection:") } ? [] : ["Connection: close"]) + fields)
            .joined(separator: "\r\n") + "\r\n\r\n"
    }

    package var description: String { "\(method) \(host)\(target) by \(who)" }
}
