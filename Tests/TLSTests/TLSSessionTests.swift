import Bytes
import System
import Foundation
import Glibc
import Testing

@testable import TLS

/// Two ends of one connection over a pair of sockets, with a certificate made by the openssl program.
@Suite struct TLSSessionTests {
    @Test func nothingIsThereBeforeAnythingWasSent() throws {
        var pair = try Pair()
        #expect(pair.receive(from: .server) == .wouldBlock)
        #expect(pair.receive(from: .client) == .wouldBlock)
    }

    @Test func whatIsSaidArrivesOnTheOtherSide() throws {
        var pair = try Pair()
        pair.say("from the client", from: .client)
        #expect(pair.hear(at: .server) == "from the client")
        pair.say("from the server", from: .server)
        #expect(pair.hear(at: .client) == "from the server")
    }

    /// The sockets take only a part: what did not go out goes on where it stopped.
    @Test func moreThanTheSocketTakesArrivesWhole() throws {
        var pair = try Pair()
        let sent = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        var waiting = ByteQueue()
        waiting.append(sent)
        var received: [UInt8] = []
        var stops = 0
        while received.count < sent.count {
            let outcome = pair.server.flush(&waiting)
            if outcome == .wouldBlock { stops += 1 }
            #expect(outcome == .wouldBlock || waiting.isEmpty)
            let before = received.count
            while case .moved = pair.receive(from: .client, to: &received) {}
            guard received.count > before else { break }
        }
        #expect(stops > 1)
        #expect(received == sent)
    }

    @Test func anEndThatIsSaidIsAnEnd() throws {
        var pair = try Pair()
        pair.say("last", from: .client)
        pair.client.sendCloseNotify()
        #expect(pair.hear(at: .server) == "last")
        #expect(pair.receive(from: .server) == .ended)
    }

    /// Anyone who cuts a connection must not be able to make what came so far look whole. What OpenSSL remembers of it is not taken for
    /// an error of another connection.
    @Test(arguments: [true, false]) func anEndThatIsNotSaidIsAFailure(closesBothWays: Bool) throws {
        var pair = try Pair()
        var other = try Pair()
        pair.say("part", from: .client)
        shutdown(pair.client.raw, Int32(closesBothWays ? SHUT_RDWR : SHUT_WR))
        #expect(pair.hear(at: .server) == "part")
        guard case .failed = pair.receive(from: .server) else {
            Issue.record("taken for an end")
            return
        }
        #expect(other.receive(from: .server) == .wouldBlock)
    }

    /// It ends the connection, and not the process: no SIGPIPE, whether or not it is ignored.
    @Test func sendingToNobodyIsAFailure() throws {
        let before = signal(SIGPIPE, SIG_DFL)
        defer { signal(SIGPIPE, before) }
        var pair = try Pair()
        shutdown(pair.client.raw, Int32(SHUT_RDWR))
        let text = [UInt8]("anybody?".utf8)
        guard case .failed = pair.server.send(text.span) else {
            Issue.record("sent")
            return
        }
    }

    @Test func aPeerThatIsGoneEndsTheHandshake() throws {
        var pair = try Pair(shakesHands: false)
        shutdown(pair.client.raw, Int32(SHUT_RDWR))
        guard case .failed(let reason) = pair.server.handshake() else {
            Issue.record("no failure")
            return
        }
        #expect(!reason.isEmpty)
    }
}

private struct Pair: ~Copyable {
    enum Side { case server, client }

    var server: Transport
    var client: Transport
    private let contexts: ServerContexts
    private let trust: ClientContext

    init(shakesHands: Bool = true) throws {
        let made = try #require(Self.credentials)
        let contexts = try ServerContexts(
            certificates: [Certificate(chainPEM: made.certificate, keyPEM: made.key)], minimum: .tls12, protocols: [], tickets: TicketKeys()
        )
        let trust = try ClientContext(trustedPEM: made.certificate, certificate: nil)
        var ends: [Int32] = [0, 0]
        // SAFETY: two numbers are written into an array of two.
        let result = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends)
        try #require(result == 0)
        self.contexts = contexts
        self.trust = trust
        server = Transport(Descriptor(owning: ends[0]))
        client = Transport(Descriptor(owning: ends[1]))
        server.secure(with: contexts.makeSession(ends[0])!)
        client.secure(with: trust.makeSession(ends[1], host: "localhost")!)
        if shakesHands { shakeHands() }
    }

    private mutating func shakeHands() {
        var (isServerDone, isClientDone) = (false, false)
        for _ in 0..<10 where !isServerDone || !isClientDone {
            if !isClientDone { isClientDone = client.handshake() == .done }
            if !isServerDone { isServerDone = server.handshake() == .done }
        }
        #expect(isServerDone && isClientDone)
    }

    mutating func say(_ text: String, from side: Side) {
        let bytes = [UInt8](text.utf8)
        let outcome = side == .server ? server.send(bytes.span) : client.send(bytes.span)
        #expect(outcome == .moved(bytes.count))
    }

    mutating func receive(from side: Side, to received: inout [UInt8]) -> Transfer {
        var queue = ByteQueue()
        let outcome = side == .server ? server.receive(to: &queue, minimum: 65_536) : client.receive(to: &queue, minimum: 65_536)
        received.append(queue.readable)
        return outcome
    }

    mutating func receive(from side: Side) -> Transfer {
        var received: [UInt8] = []
        return receive(from: side, to: &received)
    }

    mutating func hear(at side: Side) -> String {
        var received: [UInt8] = []
        #expect(receive(from: side, to: &received) == .moved(received.count))
        return String(decoding: received, as: UTF8.self)
    }

    private static let credentials: (certificate: [UInt8], key: [UInt8])? = {
        let folder = FileManager.default.temporaryDirectory.path + "/portcullis-tls-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        openssl.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "100", "-subj", "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost", "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem",
        ]
        openssl.standardError = FileHandle.nullDevice
        try? openssl.run()
        openssl.waitUntilExit()
        guard let certificate = FileManager.default.contents(atPath: folder + "/cert.pem"),
            let key = FileManager.default.contents(atPath: folder + "/key.pem")
        else { return nil }
        return (Array(certificate), Array(key))
    }()
}
