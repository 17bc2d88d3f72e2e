import Processes
import Foundation
import Bytes
import ConfigFile
import Configuration
import Connection
import Forwarding
import HTTP2
import HTTPMessage
import System
import TestSockets
import TestSupport
import Testing

@testable import Gateway

/// Connections of clients on real sockets, with clients that say every byte, in pieces of any size; turned by the test.
@Suite final class FrontEndTests {
    private static let file = """
        listen 127.0.0.1:1 { plaintext; }
        timeouts { head 400ms; body 400ms; idle 400ms; }
        issuer sso { url https://sso.example; keys https://sso.example/keys; audience any; algorithms EdDSA; }
        upstream app { server 127.0.0.1:@PORT@; }
        route /open/** { upstream app; public; max_body_size 100; }
        route /in { upstream app; auth sso; }
        """

    private let stage: PathStage
    private let services: DownstreamServices
    private let listener: Descriptor
    private let port: Int
    private let server: ScriptedServer

    init() throws {
        server = try ScriptedServer { client, _ in
            var text = ""
            while true {
                if !text.contains("\r\n\r\n") { text += client.read(until: "\r\n\r\n") }
                guard let end = text.range(of: "\r\n\r\n") else { return }
                let head = String(text[..<end.lowerBound])
                text = String(text[end.upperBound...])
                let length = head.firstMatch(of: /Content-Length: (\d+)/).flatMap { Int($0.1) } ?? 0
                while text.utf8.count < length {
                    guard let more = Optional(client.read(until: String(repeating: "x", count: length - text.utf8.count))), !more.isEmpty
                    else { return }
                    text += more
                }
                let body = String(text.prefix(length))
                text = String(text.dropFirst(length))
                let words = head.split(separator: " ")
                guard words.count > 2 else { return }
                let path = words[1]
                if path == "/open/cut" {
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart")
                    return
                }
                let reply = "\(path)|\(body)"
                client.send("HTTP/1.1 200 OK\r\nContent-Length: \(reply.utf8.count)\r\n\r\n\(reply)")
            }
        }
        let diagnostics = Diagnostics()
        let text = Self.file.replacing("@PORT@", with: "\(server.port)")
        let settings = Settings("f", files: MemoryFiles(["f": text]), environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        stage = try PathStage(settings)
        services = DownstreamServices(
            loop: stage.loop, path: stage.path, settings: settings, counters: stage.memory.counters,
            buffers: BufferPool(bufferBytes: 16_384, keptMax: 4), requestIDs: RequestIDs(), windows: WindowBudget(bytes: 1 << 20))
        let address = try #require(SocketAddress("127.0.0.1:0"))
        listener = try Socket.bind(to: address)
        try Socket.startListening(listener.raw)
        port = Int(try #require(Socket.localPort(listener.raw)))
    }

    /// Accepts the client that has connected.
    private func accept(_ take: (consuming Descriptor) -> Void) throws {
        var isAccepted = false
        #expect(
            eventually {
                if case .connection(let descriptor, _) = Socket.accept(listener.raw) {
                    take(descriptor)
                    isAccepted = true
                }
                return isAccepted
            })
    }

    private func turn(until condition: () -> Bool) {
        #expect(
            eventually {
                stage.loop.turn(waitingAtMost: 10)
                return condition()
            })
    }

    /// Sends a script over HTTP/1.1 in pieces, and reads until the connection closes.
    private func talk(_ script: String, pieces size: Int) throws -> String {
        let client = try RawClient(port: port)
        try accept {
            IncomingConnection.take(
                $0, from: IPAddress("127.0.0.1"), contexts: nil, redirect: nil, proxies: nil,
                metrics: ListenerMetrics("test", stage.metrics), services)
        }
        let bytes = [UInt8](script.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            client.send(Array(bytes[start..<min(bytes.count, start + size)]))
            stage.loop.turn(waitingAtMost: 0)
        }
        var received: [UInt8] = []
        turn {
            guard let more = client.takeBytes(65_536) else { return true }
            received += more
            return false
        }
        return String(decoding: received, as: UTF8.self)
    }

    /// Requests that follow one another without waiting, whole and byte by byte.
    @Test(arguments: [1, 7, 100_000]) func http1ReadsRequestsInPieces(size: Int) throws {
        let script =
            "GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\n" + "POST /open/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxxxxx"
            + "GET /in HTTP/1.1\r\nHost: a\r\n\r\n" + "GET /open/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        let text = try talk(script, pieces: size)
        let statuses = text.matches(of: /HTTP\/1.1 (\d+)/).map { String($0.1) }
        #expect(statuses == ["200", "200", "401", "200"], "\(text)")
        #expect(text.contains("/open/1|") && text.contains("/open/2|xxxxx") && text.contains("/open/3|"))
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"), ("GET / HTTP/2.5\r\nHost: a\r\n\r\n", "505"),
        ("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "413"),
        ("POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        // Time passes within a head, and within a body.
        ("GET /open/x HTTP/1.1\r\nHos", "408"), ("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", "408"),
    ]) func http1EndsWhatCannotGoOn(script: String, status: String) throws {
        let text = try talk(script, pieces: 100_000)
        #expect(text.hasPrefix("HTTP/1.1 \(status) ") && text.contains("Connection: close"), "\(text)")
    }

    /// A response of which the rest will not come does not look whole: it ends short of its length.
    @Test func http1CutsABrokenResponse() throws {
        let text = try talk("GET /open/cut HTTP/1.1\r\nHost: a\r\n\r\n", pieces: 100_000)
        #expect(text.hasPrefix("HTTP/1.1 200 ") || text.hasPrefix("HTTP/1.1 502 "), "\(text)")
        if text.hasPrefix("HTTP/1.1 200 ") { #expect(text.hasSuffix("\r\n\r\npart") && text.contains("Content-Length: 50"), "\(text)") }
    }

    /// Between requests a silent client is left without a word.
    @Test func http1ClosesAnIdleConnection() throws {
        let text = try talk("GET /open/1 HTTP/1.1\r\nHost: a\r\n\r\n", pieces: 100_000)
        #expect(text.matches(of: /HTTP\/1.1/).count == 1)
    }

    @Test func aRedirectingListenerSendsEverybodyToHTTPS() throws {
        let client = try RawClient(port: port)
        try accept {
            IncomingConnection.take(
                $0, from: IPAddress("127.0.0.1"), contexts: nil, redirect: HTTPSRedirect(port: 8443), proxies: nil,
                metrics: ListenerMetrics("test", stage.metrics), services)
        }
        client.send("GET /open/./x?y HTTP/1.1\r\nHost: A.example\r\n\r\n")
        var text = ""
        turn {
            text += client.read(silence: 1)
            return text.contains("\r\n\r\n")
        }
        #expect(text.contains("HTTP/1.1 308 ") && text.contains("Location: https://a.example:8443/open/x?y\r\n"), "\(text)")
    }

    // MARK: - HTTP/2

    /// A client of HTTP/2 that keeps what comes back for each stream.
    private final class StreamClient: SessionHandler {
        private(set) var session: Session!
        private let socket: RawClient
        private var inbound = ByteQueue()
        var statuses: [StreamID: String] = [:]
        var bodies: [StreamID: [UInt8]] = [:]
        var closed: [StreamID: UInt32] = [:]
        private var uploads: [StreamID: [UInt8]] = [:]

        init(_ socket: RawClient) {
            self.socket = socket
            session = Session(.client, SessionSettings(), outputBytesMax: 65_536, handler: self)
        }

        func request(_ path: String, _ body: String = "") -> StreamID {
            var block = FieldBlock()
            for (name, value) in [(":method", body.isEmpty ? "GET" : "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)] {
                block.append(name, value)
            }
            if !body.isEmpty { block.append("content-length", decimal: UInt64(body.utf8.count)) }
            guard let stream = session.submit(request: block, hasBody: !body.isEmpty) else { preconditionFailure("no stream left") }
            uploads[stream] = [UInt8](body.utf8)
            return stream
        }

        /// Sends what there is in pieces, and takes what has come.
        func exchange(pieces size: Int) throws {
            try session.fill()
            let bytes = session.withOutput { queue in
                let bytes = queue.readable.copied()
                queue.removeAll()
                return bytes
            }
            for start in stride(from: 0, to: bytes.count, by: size) { socket.send(Array(bytes[start..<min(bytes.count, start + size)])) }
            while let more = socket.takeBytes(65_536), !more.isEmpty {
                inbound.append(more)
                try session.receive(&inbound)
            }
        }

        func headBegan(_ stream: StreamID, isFirst: Bool) {}
        func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
            if name.equals(":status") { statuses[stream] = value.text }
            return true
        }
        func invalidField(_ stream: StreamID) {}
        func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) {}
        func received(body: Span<UInt8>, _ stream: StreamID) {
            bodies[stream, default: []] += body.copied()
            session.consume(stream, body.count)
        }
        func bodyEnded(_ stream: StreamID) {}
        func closed(_ stream: StreamID, code: UInt32) { closed[stream] = code }
        func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep {
            let left = uploads[stream]?.count ?? 0
            return .bytes(min(left, atMost), isLast: left <= atMost)
        }
        func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { uploads[stream]?.count ?? 0 >= count }
        func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) {
            let body = uploads[stream] ?? []
            output.append(Array(body.prefix(count)))
            uploads[stream] = Array(body.dropFirst(count))
        }
        func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) {}
        func received(_ frame: ControlFrame) {}
        func requestNotSent(_ stream: StreamID) {}
        func sentEnd(_ stream: StreamID) {}
        func sentReset(_ stream: StreamID, code: UInt32) {}
        func settingsChanged() {}
        func received(goAway lastStream: StreamID, code: UInt32) {}
    }

    /// A client whose connection speaks HTTP/2 from the start.
    private func streamClient() throws -> StreamClient {
        let socket = try RawClient(port: port)
        try accept { descriptor in
            let client = Client(
                IPAddress("127.0.0.1"), isTLS: false, redirect: nil, metrics: ListenerMetrics("test", stage.metrics), services)
            guard services.admits(client, isProxy: false) else { return }
            let origin = DownstreamOrigin(peer: [UInt8]("127.0.0.1".utf8), isPeerTrusted: false, isTLS: false, addresses: nil)
            let quiet = QuietHandler()
            guard let io = try? ConnectionIO(descriptor, for: .readable, quiet, on: stage.loop) else { return }
            let connection = HTTP2Connection(io, client, origin, contexts: nil, services)
            io.hand(to: connection)
            connection.begin()
        }
        return StreamClient(socket)
    }

    /// A body that is too large is refused, read to its end and thrown away; a broken response resets its stream; neither touches others.
    @Test func http2EndsWhatCannotGoOn() throws {
        let client = try streamClient()
        let large = client.request("/open/large", String(repeating: "x", count: 101))
        let (cut, good) = (client.request("/open/cut"), client.request("/open/1"))
        turn {
            #expect(throws: Never.self) { try client.exchange(pieces: 100_000) }
            return client.closed.count == 3
        }
        #expect(client.statuses[large] == "413" && client.closed[large] == StreamCode.noError)
        #expect(client.statuses[good] == "200" && client.closed[good] == StreamCode.noError)
        // Nothing of it had gone out, or a part: a refusal in its place, or a reset.
        let isReset = client.statuses[cut] == "200" && client.closed[cut] == StreamCode.internalError
        #expect(isReset || client.statuses[cut] == "502", "\(client.statuses[cut] ?? "") \(client.closed[cut] ?? 0)")
    }

    @Test(arguments: [1, 9, 100_000]) func http2CarriesStreamsInPieces(size: Int) throws {
        let client = try streamClient()
        let streams = [client.request("/open/1"), client.request("/open/2", "xxxxx"), client.request("/in"), client.request("/nothing")]
        turn {
            #expect(throws: Never.self) { try client.exchange(pieces: size) }
            return client.closed.count == streams.count
        }
        #expect(streams.map { client.statuses[$0] ?? "" } == ["200", "200", "401", "404"])
        #expect(client.bodies[streams[0]] == [UInt8]("/open/1|".utf8) && client.bodies[streams[1]] == [UInt8]("/open/2|xxxxx".utf8))
        #expect(Set(client.closed.values) == [0])
    }

    /// Until a connection is handed over nobody is told of its events.
    private final class QuietHandler: EventHandler {
        func handle(_ readiness: Readiness) {}
    }
}
