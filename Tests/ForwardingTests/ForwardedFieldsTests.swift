import Authentication
import Bytes
@testable import Forwarding
import HTTP1
import HTTPMessage
import Routing
import TestSupport
import Testing

/// What upstreams are told of a request's way, with one memory for all connections of a worker.
@Suite struct ForwardedFieldsTests {
    private let fields = ForwardedFields()
    private let own = DownstreamOrigin(peer: [UInt8]("192.0.2.1".utf8), isPeerTrusted: false, isTLS: true, addresses: nil)
    private let clear = DownstreamOrigin(peer: [UInt8]("192.0.2.2".utf8), isPeerTrusted: false, isTLS: false, addresses: nil)
    private let v6 = DownstreamOrigin(peer: [UInt8]("2001:db8::1".utf8), isPeerTrusted: false, isTLS: true, addresses: nil)
    private let proxy = DownstreamOrigin(peer: [UInt8]("10.0.0.1".utf8), isPeerTrusted: true, isTLS: true, addresses: nil)

    /// The forwarded lines of a request with these fields, sorted.
    private func lines(
        _ origin: DownstreamOrigin, client: String? = nil, isHTTPS: Bool? = nil, trusted: TrustedFields = .any, _ request: String...
    ) throws -> [String] {
        let context = RequestContext()
        var parser = RequestParser()
        let bytes = [UInt8]((["GET / HTTP/1.1"] + request + ["", ""]).joined(separator: "\r\n").utf8)
        _ = try parser.parse(bytes.span, into: &context.head)
        context.begin(clientIP: client.map { [UInt8]($0) } ?? origin.peer, isHTTPS: isHTTPS ?? origin.isTLS)
        context.identify([UInt8]("id".utf8).span)
        if let place = context.head.fields.first(.host)?.value, let named = NamedHost(place, in: context.head.bytes) {
            context.serve(named.authority, at: place, of: context.head.bytes)
        }
        var output = ByteQueue()
        let fields = trusted == .any ? fields : ForwardedFields(trusted: trusted)
        fields.append(context.head, context, origin, to: &output)
        let text = output.readable.text
        #expect(text.hasSuffix("\r\n"))
        return text.split(separator: "\r\n").map(String.init).sorted()
    }

    private func expected(_ peer: String, _ scheme: String, host: String, for element: String? = nil, port: Int? = nil) -> [String] {
        [
            "Forwarded: for=\(element ?? peer);host=\"\(host)\";proto=\(scheme)", "X-Forwarded-For: \(peer)", "X-Forwarded-Host: \(host)",
            "X-Forwarded-Port: \(port ?? (scheme == "https" ? 443 : 80))", "X-Forwarded-Proto: \(scheme)", "X-Request-Id: id",
        ]
    }

    /// What the proxy passes on from anybody goes no further.
    @Test func listsThatDoNotCountAreNotAddedTo() throws {
        let request = ["Host: a", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=203.0.113.9"]
        func told(_ trusted: TrustedFields, client: String) throws -> [String] {
            try lines(proxy, client: client, trusted: trusted, request[0], request[1], request[2]).filter {
                $0.contains("or: ") || $0.contains("ed: ")
            }
        }
        #expect(
            try told(.forwarded, client: "203.0.113.9") == [
                "Forwarded: for=203.0.113.9, for=10.0.0.1;host=\"a\";proto=https", "X-Forwarded-For: 203.0.113.9, 10.0.0.1",
            ])
        // Nor do the relatives of a list that does not count.
        let filter = FieldFilter(headers: [], hiding: CredentialPlaces())
        for (trusted, isTrusted) in [(TrustedFields.any, true), (.xForwarded, true), (.forwarded, false)] {
            let head = OutgoingHead(
                RequestContext(), filter, ForwardedFields(trusted: trusted), ForwardingRule(upstream: UpstreamID(0)), from: proxy)
            for name in ["X-Client-IP", "X-Forwarded-Ssl", "X-Original-URL", "X-Remote-User"] {
                let request = try Heads.request("GET / HTTP/1.1", "\(name): x")
                let verdict = filter.verdict(on: request.fields.lines[0], in: request.bytes, from: head.sender(request))
                #expect(verdict == (isTrusted ? .keep : .drop), "\(trusted) \(name)")
            }
        }
        #expect(
            try told(.xForwarded, client: "6.6.6.6") == [
                "Forwarded: for=10.0.0.1;host=\"a\";proto=https", "X-Forwarded-For: 6.6.6.6, 10.0.0.1",
            ])
    }

    @Test func eachRequestNamesItsOwnHostAndWay() throws {
        let long = String(repeating: "h", count: 255)
        for _ in 0..<3 {
            #expect(try lines(own, "Host: a.example") == expected("192.0.2.1", "https", host: "a.example"))
            #expect(try lines(own, "Host: b.example") == expected("192.0.2.1", "https", host: "b.example"))
            #expect(try lines(clear, "Host: b.example") == expected("192.0.2.2", "http", host: "b.example"))
            #expect(try lines(own, "Host: b.example") == expected("192.0.2.1", "https", host: "b.example"))
            #expect(try lines(v6, "Host: b.example") == expected("2001:db8::1", "https", host: "b.example", for: "\"[2001:db8::1]\""))
            #expect(try lines(own, "Host: B.example") == expected("192.0.2.1", "https", host: "B.example"))
            #expect(try lines(own, "Host: \(long)") == expected("192.0.2.1", "https", host: long))
            #expect(try lines(own, "Host: b.example:8443") == expected("192.0.2.1", "https", host: "b.example:8443", port: 8_443))
            #expect(try lines(own, "Host: [::1]:81") == expected("192.0.2.1", "https", host: "[::1]:81", port: 81))
        }
    }

    @Test func aRequestWithoutAHostIsToldWithoutOne() throws {
        for request in ["Host:", "Accept: */*"] {
            #expect(try lines(own, "Host: a.example") == expected("192.0.2.1", "https", host: "a.example"))
            #expect(
                try lines(own, request) == [
                    "Forwarded: for=192.0.2.1;proto=https", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Request-Id: id",
                ])
        }
    }

    @Test func whatATrustedPeerTellsIsAddedToAndKeptForNobodyElse() throws {
        #expect(
            try lines(
                proxy, client: "198.51.100.7", isHTTPS: false, "Host: outer.example", "X-Forwarded-For: 198.51.100.7",
                "Forwarded: for=198.51.100.7") == [
                    "Forwarded: for=198.51.100.7, for=10.0.0.1;host=\"outer.example\";proto=http",
                    "X-Forwarded-For: 198.51.100.7, 10.0.0.1", "X-Forwarded-Host: outer.example", "X-Forwarded-Port: 80",
                    "X-Forwarded-Proto: http", "X-Request-Id: id",
                ])
        // A service that knows X-Forwarded-For alone learns the client that was told otherwise.
        #expect(
            try lines(proxy, client: "198.51.100.7", "Host: a.example", "Forwarded: for=198.51.100.7").contains(
                "X-Forwarded-For: 198.51.100.7, 10.0.0.1"))
        #expect(try lines(own, "Host: inner.example") == expected("192.0.2.1", "https", host: "inner.example"))
        #expect(
            try lines(own, "Host: inner.example", "X-Forwarded-Host: evil.example", "Forwarded: for=6.6.6.6")
                == expected("192.0.2.1", "https", host: "inner.example"))
    }
}
