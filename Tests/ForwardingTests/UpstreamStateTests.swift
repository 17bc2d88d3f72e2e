import Authentication
import Bytes
import ConfigFile
import HTTP1
import HTTP2
import HTTPMessage
import Routing
import System
import TestSockets
import TestSupport
import Testing

@testable import Forwarding
@testable import RateLimiting

/// Every edge of the states of a connection of HTTP/1 and of a stream of HTTP/2 to an upstream, with servers that a test plays.
@Suite struct UpstreamStateTests {
    /// A client that takes a response as far as the test lets it.
    private final class Client: ExchangeDownstream {
        var status = 0
        var interim: [Int] = []
        var body = ""
        var trailers: [String] = []
        var ends = 0
        var error: ForwardingError?
        var takesResponse = true
        /// Takes no more once something of the body has come.
        var pauses = false
        var isOver: Bool { ends > 0 || error != nil }

        func received(interim head: borrowing ResponseHead) { interim.append(head.status) }
        func received(head: borrowing ResponseHead, framing: BodyFraming) { status = head.status }
        func received(body: Span<UInt8>) {
            self.body += body.text
            if pauses { takesResponse = false }
        }
        func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {
            trailers.append("\(bytes.extracting(line.name.range).text): \(bytes.extracting(line.value.range).text)")
        }
        func responseEnded() { ends += 1 }
        func responseFailed(_ error: ForwardingError) { self.error = error }
        func responseGoesOn() {}
        func responseMustEnd() {}
        func uploadMayContinue() {}
    }

    private let loop: EventLoop
    private let context = RequestContext()
    private let rule = ForwardingRule(upstream: UpstreamID(0))
    private let origin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
    private let exchange: Exchange

    init() throws {
        loop = try EventLoop()
        let filter = FieldFilter(headers: [], hiding: CredentialPlaces())
        exchange = Exchange(OutgoingHead(context, filter, ForwardedFields(), rule, from: origin))
    }

    private func group(_ port: Int, _ more: String = "") throws -> UpstreamGroup {
        try .reading("server 127.0.0.1:\(port); \(more)", on: loop)
    }

    /// Begins a request; its body is sent as far as it is given, and ended unless it is to go on.
    private func begin(
        _ method: String = "GET", _ path: String = "/", body: String = "", length: Int? = nil, tunnel: String? = nil,
        to group: UpstreamGroup
    ) throws -> Client {
        let client = Client()
        var parser = RequestParser()
        let bytes = [UInt8]("\(method) \(path) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        _ = try parser.parse(bytes.span, into: &context.head)
        try context.target.normalize(context.head, HeadLimits())
        let count = length ?? body.utf8.count
        try exchange.begin(
            Admission(identity: nil, route: rule.route), for: client, rule: rule, origin: origin, method: context.head.method,
            framing: count > 0 ? .length(UInt64(count)) : .none, tunnel: tunnel.map { TunnelRequest(upgrade: [UInt8]($0.utf8)) },
            group: group, account: ClientAccount(), at: loop.now)
        if !body.isEmpty {
            let utf8 = [UInt8](body.utf8)
            exchange.send(utf8.span)
            if utf8.count == count { exchange.endRequest(trailers: []) }
        }
        return client
    }

    @discardableResult
    private func turn(until condition: () -> Bool) -> Bool {
        eventually {
            loop.turn(waitingAtMost: 20)
            return condition()
        }
    }

    private func send(_ method: String = "GET", _ path: String = "/", body: String = "", to group: UpstreamGroup) throws -> Client {
        let client = try begin(method, path, body: body, to: group)
        #expect(turn { client.isOver })
        return client
    }

    // MARK: - UpstreamHTTP2Stream.Response

    @Test func aStreamThatIsAnsweredIsToldOnce() throws {
        let server = try ScriptedHTTP2Server { path, _ in
            switch path {
            case "/whole":
                [
                    .head(103, [("link", "</a>")]), .head(200), .body("one"), .body("two", ends: false),
                    .trailers([("x-sum", "6")]),
                ]
            case "/bare": [.head(204, ends: true)]
            case "/empty": [.head(200, [("content-length", "0")]), .body("", ends: true)]
            default: [.head(200), .body(path, ends: true)]
            }
        }
        let group = try group(server.port, "protocol h2;")
        let whole = try send("GET", "/whole", to: group)
        #expect(whole.interim == [103] && whole.status == 200 && whole.body == "onetwo" && whole.ends == 1)
        #expect(whole.trailers == ["x-sum: 6"])
        let bare = try send("GET", "/bare", to: group)
        #expect(bare.status == 204 && bare.body.isEmpty && bare.ends == 1)
        let empty = try send("GET", "/empty", to: group)
        #expect(empty.status == 200 && empty.ends == 1)
        let upload = try send("POST", "/up", body: "hello", to: group)
        #expect(upload.body == "/up" && server.requests.value.last?.body == "hello")
        #expect(server.connections.value == 1)
    }

    @Test func aStreamThatIsResetBeforeItsHead() throws {
        let server = try ScriptedHTTP2Server { path, number in
            switch (path, number) {
            case ("/refused", 1), ("/refused", 3): [.reset(StreamCode.refused)]
            case ("/broken", _): [.reset(StreamCode.internalError)]
            default: [.head(200), .body("ok", ends: true)]
            }
        }
        let group = try group(server.port, "protocol h2;")
        // What the server says that it has not touched goes out again, with its body.
        #expect(try send("GET", "/refused", to: group).body == "ok")
        #expect(try send("POST", "/refused", body: "hello", to: group).body == "ok")
        #expect(server.requests.value.map(\.body) == ["", "", "hello", "hello"])
        #expect(try send("POST", "/broken", body: "hello", to: group).error == .closedEarly)
        #expect(server.requests.value.count == 5)
    }

    @Test func aStreamThatBreaksBehindItsHead() throws {
        let server = try ScriptedHTTP2Server { path, _ in
            path == "/closed" ? [.head(200), .body("part"), .close] : [.head(200), .body("part"), .reset(StreamCode.internalError)]
        }
        let group = try group(server.port, "protocol h2;")
        for path in ["/reset", "/closed"] {
            let client = try send("GET", path, to: group)
            #expect(client.status == 200 && client.body == "part" && client.error == .closedEarly && client.ends == 0)
        }
    }

    /// The end, good or bad, stands behind what the client has not taken.
    @Test(arguments: [true, false]) func anEndWaitsForAClientThatPauses(isGood: Bool) throws {
        let pieces = (0..<4).map { String(repeating: "\($0)", count: 10_000) }
        let server = try ScriptedHTTP2Server { _, _ in
            [.head(200)] + pieces.map { .body($0) } + [isGood ? .body("", ends: true) : .reset(StreamCode.internalError)]
        }
        let group = try group(server.port, "protocol h2;")
        let client = try begin(to: group)
        client.pauses = true
        #expect(turn { client.status == 200 && !client.body.isEmpty })
        let taken = client.body.utf8.count
        #expect(turn { server.requests.value.count == 1 })
        for _ in 0..<20 { loop.turn(waitingAtMost: 5) }
        #expect(!client.isOver && client.body.utf8.count < 40_000)
        client.pauses = false
        client.takesResponse = true
        exchange.resumeResponse()
        #expect(turn { client.isOver })
        #expect(client.body.utf8.count > taken && (client.ends == 1) == isGood && (client.error == .closedEarly) == !isGood)
        if isGood { #expect(client.body == pieces.joined()) }
    }

    @Test func aStreamThatIsCancelledIsToldNothing() throws {
        let server = try ScriptedHTTP2Server { path, _ in
            path == "/long" ? [.head(200), .body("part")] : [.head(200), .body("ok", ends: true)]
        }
        let group = try group(server.port, "protocol h2;")
        let early = try begin("GET", "/long", to: group)
        exchange.cancel()
        let late = try begin("GET", "/long", to: group)
        #expect(turn { late.body == "part" })
        exchange.cancel()
        #expect(try send("GET", "/next", to: group).body == "ok")
        #expect(!early.isOver && !late.isOver && server.connections.value == 1)
    }

    // MARK: - UpstreamHTTP2Connection.NewStreams

    @Test func aServerThatLeavesGetsNoNewStreams() throws {
        let server = try ScriptedHTTP2Server { _, number in
            number == 1 ? [.head(200), .body("last", ends: true), .goAway] : [.head(200), .body("ok", ends: true)]
        }
        let group = try group(server.port, "protocol h2;")
        #expect(try send(to: group).body == "last")
        #expect(try send(to: group).body == "ok")
        #expect(try send(to: group).body == "ok")
        #expect(server.connections.value == 2)
    }

    // MARK: - UpstreamConnection: Delivery and Following

    private static func ok(_ more: String = "") -> String { "HTTP/1.1 200 OK\r\n\(more)Content-Length: 2\r\n\r\nok" }

    /// A server of HTTP/1.1: for each request what to send, and whether the connection goes on.
    private func server(_ script: @escaping @Sendable (Int) -> (text: String, goesOn: Bool)) throws -> (ScriptedServer, Box<Int>, Box<Int>)
    {
        let (requests, connections) = (Box(0), Box(0))
        let server = try ScriptedServer { client, _ in
            connections.change { $0 += 1 }
            while true {
                guard client.read(until: "\r\n\r\n").contains("\r\n\r\n") else { return }
                let (text, goesOn) = script(requests.change { $0 += 1 })
                client.send(text)
                if !goesOn { return }
            }
        }
        return (server, requests, connections)
    }

    @Test func anotherExchangeFollowsWhereBothSidesAllowIt() throws {
        let (server, requests, connections) = try server { number in
            switch number {
            // Undecided: the server says close.
            case 3: (Self.ok("Connection: close\r\n"), true)
            // Impossible: the server ends the connection, or says more than it was asked.
            case 5: (Self.ok(), false)
            case 6: (Self.ok() + "more", true)
            default: (Self.ok(), true)
            }
        }
        let group = try group(server.port)
        var seen: [Int] = []
        for _ in 1...7 {
            #expect(try send(to: group).body == "ok")
            // An end that is on its way is seen before the next request.
            for _ in 0..<5 { loop.turn(waitingAtMost: 5) }
            seen.append(connections.value)
        }
        #expect(seen == [1, 1, 1, 2, 2, 3, 4] && requests.value == 7)
    }

    @Test func whatHasGoneOutIsNotSentAgain() throws {
        // Every second request is read and not answered.
        let (server, requests, _) = try server { number in number % 2 == 1 ? (Self.ok(), true) : ("", false) }
        let group = try group(server.port)
        #expect(try send(to: group).body == "ok")
        // Over a kept connection: a POST fails, a GET is sent once more.
        #expect(try send("POST", "/", body: "x", to: group).error == .closedEarly)
        #expect(requests.value == 2)
        #expect(try send(to: group).body == "ok")
        #expect(try send(to: group).body == "ok")
        #expect(requests.value == 5)
    }

    @Test func aRequestThatNeverSetOutGoesElsewhere() throws {
        let good = try server { _ in (Self.ok(), true) }
        let closed = Ports.free()
        let group = try group(closed, "server 127.0.0.1:\(good.0.port);")
        for _ in 0..<4 { #expect(try send("POST", "/", body: "hello", to: group).body == "ok") }
        #expect(good.1.value == 4)
    }

    @Test func aResponseWithoutARequestEndsTheConnection() throws {
        let connections = Box(0)
        let server = try ScriptedServer { client, _ in
            guard connections.change({ $0 += 1 }) == 1 else {
                _ = client.read(until: "\r\n\r\n")
                return client.send(Self.ok())
            }
            _ = client.read(until: "\r\n\r\n")
            client.send(Self.ok())
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            _ = client.read(silence: 2_000)
        }
        let group = try group(server.port)
        #expect(try send(to: group).body == "ok")
        for _ in 0..<10 { loop.turn(waitingAtMost: 10) }
        #expect(try send(to: group).body == "ok")
        #expect(connections.value == 2)
    }

    // MARK: - UpstreamConnection.Upload

    @Test func theEndOfATunnelsUploadClosesOurSideAlone() throws {
        let heard = Box("")
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello")
            // Until our side is closed.
            heard.value = client.read()
            client.send("bye")
        }
        let group = try group(server.port)
        let client = try begin(tunnel: "chat", to: group)
        #expect(turn { client.body == "hello" })
        let words = [UInt8]("words".utf8)
        exchange.send(words.span)
        exchange.endRequest(trailers: [])
        #expect(turn { client.isOver })
        #expect(client.status == 101 && client.body == "hellobye" && client.ends == 1 && heard.value == "words")
    }

    @Test func aResponseThatComesBeforeTheUploadEndsTheConnection() throws {
        let (server, _, connections) = try server { number in number == 1 ? (Self.ok(), true) : (Self.ok(), true) }
        let group = try group(server.port)
        let client = try begin("POST", "/", body: "part", length: 100, to: group)
        #expect(turn { client.isOver })
        #expect(client.body == "ok" && client.ends == 1)
        #expect(try send(to: group).body == "ok")
        #expect(connections.value == 2)
    }
}
