import ConfigFile
import RateLimiting
import System
@testable import Redis
import TestSockets
import TestSupport
import Testing
import Time

/// A worker's connection, with servers on real sockets, driven turn by turn.
@Suite struct RedisLinkTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    /// Answers the greeting of every client, and counts the open connections.
    private func server(_ clients: Box<Int>) throws -> ScriptedServer {
        try ScriptedServer { client, _ in
            guard client.read(until: "SCRIPT").contains("SCRIPT") else { return }
            clients.change { $0 += 1 }
            // What it answers to ROLE, and to SCRIPT LOAD.
            client.send("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n$40\r\n\(String(repeating: "a", count: 40))\r\n")
            _ = client.isClosedByPeer(within: 60_000)
            clients.change { $0 -= 1 }
        }
    }

    private func turnUntil(_ condition: () -> Bool) -> Bool {
        eventually {
            loop.turn(waitingAtMost: 10)
            return condition()
        }
    }

    /// A name that has come to lead elsewhere is followed: a server that is still there, but is no longer the one, is left.
    @Test func leavesAServerThatTheNameNoLongerLeadsTo() throws {
        let (ofFirst, ofSecond) = (Box(0), Box(0))
        let (first, second) = (try server(ofFirst), try server(ofSecond))
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "redis main { address redis.test:6379; timeout 1s; }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        let settings = try #require(RedisSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
        let link = RedisLink(settings, to: settings.topology.addresses[0], title: "main", on: loop, metrics: nil)
        let places = [first, second].compactMap { SocketAddress("127.0.0.1:\($0.port)") }
        link.resolve(to: [places[0]])
        #expect(turnUntil { link.isAvailable })
        #expect(ofFirst.value == 1)
        // It stays where it is as long as the name leads there too.
        link.resolve(to: places)
        for _ in 0..<20 { loop.turn(waitingAtMost: 5) }
        #expect(link.isAvailable && ofFirst.value == 1 && ofSecond.value == 0)
        link.resolve(to: [places[1]])
        #expect(turnUntil { link.isAvailable && ofFirst.value == 0 && ofSecond.value == 1 })
    }

    /// Who asks in the turn in which the server is to be left has its reply, or is told that there is none.
    @Test func whoAsksInTheLastTurnIsNotForgotten() throws {
        let (ofFirst, ofSecond) = (Box(0), Box(0))
        let (first, second) = (try server(ofFirst), try server(ofSecond))
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "redis main { address redis.test:6379; timeout 200ms; }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        let settings = try #require(RedisSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
        let link = RedisLink(settings, to: settings.topology.addresses[0], title: "main", on: loop, metrics: nil)
        let places = [first, second].compactMap { SocketAddress("127.0.0.1:\($0.port)") }
        link.resolve(to: [places[0]])
        #expect(turnUntil { link.isAvailable })
        let asked = KeptDecision()
        link.decide([RemoteCall(name: [1], fingerprint: 1, quota: Quota(count: 1, window: .seconds(1)))], for: asked)
        link.resolve(to: [places[1]])
        #expect(turnUntil { asked.told.count == 1 })
    }
}
