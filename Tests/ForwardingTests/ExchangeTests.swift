import Authentication
import Bytes
import ConfigFile
import System
@testable import Forwarding
import HTTP1
import HTTP2
import HTTPMessage
@testable import RateLimiting
import Routing
import TestSockets
import TestSupport
import Testing

/// Exchanges with servers on real sockets, driven turn by turn.
@Suite struct ExchangeTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// Remembers what an exchange tells it.
    private final class Recorder: ExchangeDownstream {
        var status = 0
        var body: [UInt8] = []
        var isOver = false
        var error: ForwardingError?

        func received(interim head: borrowing ResponseHead) {}
        func responseGoesOn() {}
        func responseMustEnd() {}
        func received(head: borrowing ResponseHead, framing: BodyFraming) { status = head.status }
        func received(body: Span<UInt8>) { self.body += body.copied() }
        func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {}
        func responseEnded() { isOver = true }
        func responseFailed(_ error: ForwardingError) {
            self.error = error
            isOver = true
        }
        var takesResponse: Bool { true }
        func uploadMayContinue() {}
    }

    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    private func group(_ text: String) throws -> UpstreamGroup { try .reading(text, on: loop) }

    /// One request to its end.
    private func send(_ lines: [String], body: String = "", to group: UpstreamGroup) throws -> Recorder {
        let recorder = Recorder()
        let context = RequestContext()
        let rule = ForwardingRule(upstream: UpstreamID(0))
        let origin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
        let filter = FieldFilter(headers: [], hiding: CredentialPlaces())
        let exchange = Exchange(OutgoingHead(context, filter, ForwardedFields(), rule, from: origin))
        var parser = RequestParser()
        let bytes = [UInt8]((lines + ["Host: a", "", ""]).joined(separator: "\r\n").utf8)
        _ = try parser.parse(bytes.span, into: &context.head)
        try context.target.normalize(context.head, HeadLimits())
        let length = body.utf8.count
        try exchange.begin(
            Admission(identity: nil, route: rule.route), for: recorder, rule: rule, origin: origin, method: context.head.method,
            framing: length > 0 ? .length(UInt64(length)) : .none,
            group: group, account: ClientAccount(), at: loop.now)
        if length > 0 {
            let utf8 = [UInt8](body.utf8)
            exchange.send(utf8.span)
            exchange.endRequest(trailers: [])
        }
        #expect(
            eventually {
                loop.turn(waitingAtMost: 20); return recorder.isOver
            })
        return recorder
    }

    @Test func nothingOfOneRequestGoesWithTheNext() throws {
        let heads = Box("")
        let server = try ScriptedServer { client, _ in
            while true {
                let head = client.read(until: "\r\n\r\n")
                guard head.contains("\r\n\r\n") else { return }
                heads.value = head
                client.send(Self.ok)
            }
        }
        let group = try group("server 127.0.0.1:\(server.port);")
        func rule(_ header: String?) throws -> ForwardingRule {
            let diagnostics = Diagnostics()
            let word = header.map { Word(text: $0, position: Position(file: 0, offset: 0, length: 0), isQuoted: true) }
            let template = try word.map { try #require(Template($0, diagnostics)) }
            return ForwardingRule(
                upstream: UpstreamID(0), headers: template.map { [ForwardingRule.Header(name: "X-Who", value: $0)] } ?? [])
        }
        let context = RequestContext()
        let origin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
        let filter = FieldFilter(headers: ["X-Who"], hiding: CredentialPlaces())
        let exchange = Exchange(OutgoingHead(context, filter, ForwardedFields(), try rule(nil), from: origin))
        var parser = RequestParser()
        /// The head as the server gets it; empty where the request is not sent.
        func send(_ rule: ForwardingRule, _ tunnel: TunnelRequest? = nil) throws -> String {
            heads.value = ""
            let bytes = [UInt8]("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
            _ = try parser.parse(bytes.span, into: &context.head)
            try context.target.normalize(context.head, HeadLimits())
            let recorder = Recorder()
            do throws(ForwardingError) {
                try exchange.begin(
                    Admission(identity: nil, route: rule.route), for: recorder, rule: rule, origin: origin, method: context.head.method,
                    framing: .none,
                    tunnel: tunnel, group: group,
                    account: ClientAccount(), at: loop.now)
            } catch {
                return ""
            }
            #expect(
                eventually {
                    loop.turn(waitingAtMost: 20); return recorder.isOver
                })
            return heads.value
        }
        #expect(try send(try rule("first")).contains("X-Who: first\r\n"))
        #expect(!(try send(try rule(nil))).contains("X-Who"))
        let tunnel = TunnelRequest(upgrade: [UInt8]("websocket".utf8), lines: [UInt8]("X-Key: 1\r\n".utf8))
        #expect(try send(try rule("second"), tunnel).contains("X-Key: 1\r\n"))
        // What cannot stand in a field is not sent, and leaves nothing behind.
        #expect(try send(try rule("third ")) == "")
        let last = try send(try rule(nil))
        #expect(last.hasPrefix("GET / HTTP/1.1\r\n"))
        #expect(!last.contains("X-Who") && !last.contains("X-Key") && !last.contains("Upgrade"))
    }

    /// Where every address has refused, each is asked in turn: the first that is back has the next requests.
    @Test func whereAllAddressesHaveRefusedTheOneThatIsBackIsFound() throws {
        let port = Ports.free()
        let group = try group("server app.test:\(port); connect_timeout 2s;")
        group.resolve("app.test", to: ["127.0.0.2", "127.0.0.3", "127.0.0.1"].compactMap { IPAddress($0) })
        for _ in 0..<4 { #expect(try send(["GET / HTTP/1.1"], to: group).error != nil) }
        let server = try ScriptedServer(port: port) { client, _ in
            while client.read(until: "\r\n\r\n").contains("\r\n\r\n") { client.send(Self.ok) }
        }
        // No request waits until an address is believed in again; each tries them all.
        for _ in 0..<3 { #expect(try send(["GET / HTTP/1.1"], to: group).status == 200) }
        _ = server
    }

    @Test func aNameIsAskedAtThoseOfItsAddressesThatTakeConnections() throws {
        let server = try ScriptedServer { client, _ in
            while client.read(until: "\r\n\r\n").contains("\r\n\r\n") { client.send(Self.ok) }
        }
        // Nothing listens at the other two.
        let group = try group("server app.test:\(server.port); keepalive 0;")
        group.resolve("app.test", to: ["127.0.0.2", "127.0.0.1", "127.0.0.3"].compactMap { IPAddress($0) })
        for _ in 0..<6 {
            let answer = try send(["POST / HTTP/1.1"], body: "x", to: group)
            #expect(answer.status == 200, "\(answer.error.map { $0.explanation } ?? "")")
        }
        group.resolve("app.test", to: ["127.0.0.2", "127.0.0.3"].compactMap { IPAddress($0) })
        let answer = try send(["GET / HTTP/1.1"], to: group)
        guard case .connectFailed = answer.error else {
            Issue.record("an answer came from nowhere")
            return
        }
    }

    @Test func aRequestThatNeverSetOutIsSentElsewhereWhateverItsMethod() throws {
        let closed = Flag()
        let requests = Box(0)
        let server = try ScriptedServer { client, number in
            while client.read(until: "\r\n\r\n").contains("\r\n\r\n") {
                requests.change { $0 += 1 }
                client.send(Self.ok)
                if number == 0 { break }
            }
            if number == 0 {
                client.endWriting()
                closed.set()
            }
        }
        let group = try group("server 127.0.0.1:\(server.port);")
        #expect(try send(["GET / HTTP/1.1"], to: group).status == 200)
        // The end of the kept connection arrives, but is not read before the next request is given to it.
        #expect(eventually { closed.isSet })
        let answer = try send(["POST / HTTP/1.1"], body: "x", to: group)
        #expect(answer.status == 200, "\(answer.error.map { $0.explanation } ?? "")")
        #expect(requests.value == 2)
    }

    @Test func cutsAServerThatTakesNothingAfterTheResponseTimeout() throws {
        let over = Flag()
        let server = try ScriptedServer { _, _ in eventually(within: 30) { over.isSet } }
        let group = try group("server 127.0.0.1:\(server.port); answer_timeout 300ms;")
        let answer = try send(["PUT / HTTP/1.1"], body: String(repeating: "x", count: 16 << 20), to: group)
        #expect(answer.error == .responseTimedOut)
        over.set()
    }

    @Test func rejectsResponseWithTooManyConnectionOptions() throws {
        let options = (0..<40).map { "o\($0)" }.joined(separator: ",")
        let server = try ScriptedServer { client, _ in
            _ = client.read(until: "\r\n\r\n")
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: \(options)\r\n\r\n")
        }
        let answer = try send(["GET / HTTP/1.1"], to: try group("server 127.0.0.1:\(server.port);"))
        #expect(answer.error == .badResponse(.tooManyConnectionOptions))
    }
}
