import Bytes
package import ConfigFile
package import Time

/// `health_check [http|tcp] { … }`: how the control process finds out whether a server is well.
package struct CheckRule: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// A request, over TLS where the upstream's servers speak it.
        case http
        /// A connection that comes about.
        case tcp
        /// A call of gRPC's health service about one service, or, where that is empty, about the server.
        case grpc(service: String)
    }

    package var kind = Kind.http
    /// Whether requests are HTTP/2's.
    package let speaksHTTP2: Bool
    /// With the query.
    package var path = "/"
    /// What Host says; nil for the server's own name.
    package var host: String?
    /// Another port than that of the requests.
    package var port: UInt16?
    package var fields: [(name: String, value: String)] = []
    package var interval = Nanoseconds.seconds(5)
    package var timeout = Nanoseconds.seconds(2)
    /// Failures in a row that make a server down, successes in a row that make it up.
    package var fall = 3
    package var rise = 2
    package var expected: ClosedRange<Int> = 200...299

    /// Nil where a part of it is wrong.
    ///
    /// - Parameter speaksHTTP2: whether the upstream's servers do.
    package init?(_ directive: Directive, speaksHTTP2: Bool = false, _ diagnostics: Diagnostics) {
        self.speaksHTTP2 = speaksHTTP2
        let errors = diagnostics.count
        let words = directive.arguments
        switch (words.first?.text, words.count) {
        case (nil, _), ("http", 1): kind = .http
        case ("tcp", 1): kind = .tcp
        case ("grpc", 1...2): kind = .grpc(service: Self.service(words.dropFirst().first, diagnostics))
        default:
            diagnostics.error(
                "a check is of http, tcp or grpc [SERVICE]", at: words.first ?? directive.name,
                hint: "write health_check { path /healthz; }")
        }
        if case .grpc = kind, !speaksHTTP2 {
            diagnostics.error(
                "a check of grpc speaks HTTP/2, and this upstream's servers do not", at: words.first ?? directive.name,
                hint: "add to the upstream: protocol h2;")
        }
        let block = Block(of: directive, title: "health_check", diagnostics)
        if let word = block.one("path")?.word("PATH", diagnostics) {
            path = word.text
            let isGood = path.utf8.first == UInt8(ascii: "/") && path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
            if !isGood { diagnostics.error("'\(path)' is not a path", at: word, hint: "write a path that begins with /, such as /healthz") }
        }
        host = block.one("host")?.word("NAME", diagnostics)?.text
        port = block.one("port")?.integer(1...65_535, diagnostics).map { UInt16($0) }
        for header in block.all("header") {
            let words = header.words("NAME VALUE", diagnostics)
            guard words.count == 2 else {
                diagnostics.error("a header has a name and a value", at: header.name, hint: "write: header X-Probe gateway;")
                continue
            }
            guard !words[0].text.isEmpty, words[0].text.utf8.allSatisfy(ASCII.isToken) else {
                diagnostics.error("'\(words[0].text)' is not the name of a field", at: words[0])
                continue
            }
            fields.append((words[0].text, words[1].text))
        }
        func length(_ name: String, _ value: inout Nanoseconds) {
            if let given = block.one(name)?.duration(diagnostics, in: .milliseconds(50)...(.seconds(3_600))) { value = Nanoseconds(given) }
        }
        length("interval", &interval)
        length("timeout", &timeout)
        fall = block.one("fall")?.integer(1...100, diagnostics) ?? fall
        rise = block.one("rise")?.integer(1...100, diagnostics) ?? rise
        if let word = block.one("expect")?.word("STATUS or FROM-TO", diagnostics) {
            let parts = word.text.split(separator: "-").compactMap { Int($0) }
            if let first = parts.first, parts.count <= 2, 100...599 ~= first, 100...599 ~= (parts.last ?? 0), first <= (parts.last ?? 0) {
                expected = first...(parts.last ?? first)
            } else {
                diagnostics.error("'\(word.text)' is not a range of statuses", at: word, hint: "write: expect 200-299; or expect 204;")
            }
        }
        let named = ["path", "host", "header", "expect"].compactMap { block.one($0) }
        if kind == .tcp, let one = named.first {
            diagnostics.error("a check of tcp asks for nothing, so it has no \(one.name.text)", at: one.name)
        }
        if case .grpc = kind, let one = named.first(where: { ["path", "expect"].contains($0.name.text) }) {
            diagnostics.error("a check of grpc asks the health service, so it has no \(one.name.text)", at: one.name)
        }
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    private static func service(_ word: Word?, _ diagnostics: Diagnostics) -> String {
        guard let word else { return "" }
        // The name of a service is the full name of protobuf: letters, digits, dots and underscores.
        let isGood = (1...serviceBytesMax).contains(word.text.utf8.count) && word.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        if !isGood { diagnostics.error("'\(word.text)' is not the name of a service of gRPC", at: word, hint: "write: grpc shop.Orders") }
        return isGood ? word.text : ""
    }

    package static func == (left: CheckRule, right: CheckRule) -> Bool {
        left.kind == right.kind && left.speaksHTTP2 == right.speaksHTTP2 && left.path == right.path && left.host == right.host
            && left.port == right.port
            && left.fields.elementsEqual(right.fields, by: ==) && left.interval == right.interval && left.timeout == right.timeout
            && left.fall == right.fall && left.rise == right.rise && left.expected == right.expected
    }
}

private let serviceBytesMax = 120
