import RateLimiting
import System
import TestSockets
import Testing
import Time

@testable import Redis

/// A worker's connection, with servers on real sockets, driven turn by turn.
@Suite struct RedisLinkTests {
    private let stage: LinkStage

    init() throws { stage = try LinkStage() }

    /// A name that has come to lead elsewhere is followed: a server that is still there, but is no longer the one, is left.
    @Test func leavesAServerThatTheNameNoLongerLeadsTo() throws {
        let (first, second) = (try ScriptedRedis(), try ScriptedRedis())
        let link = try stage.link("address redis.test:6379; timeout 1s;")
        let places = [first, second].compactMap { SocketAddress("127.0.0.1:\($0.port)") }
        link.resolve(to: [places[0]])
        #expect(stage.turnUntil { link.isAvailable })
        #expect(first.open.value == 1)
        // It stays where it is as long as the name leads there too.
        link.resolve(to: places)
        for _ in 0..<20 { stage.loop.turn(waitingAtMost: 5) }
        #expect(link.isAvailable && first.open.value == 1 && second.open.value == 0)
        link.resolve(to: [places[1]])
        #expect(stage.turnUntil { link.isAvailable && first.open.value == 0 && second.open.value == 1 })
    }

    /// Who asks in the turn in which the server is to be left has its reply, or is told that there is none.
    @Test func whoAsksInTheLastTurnIsNotForgotten() throws {
        let (first, second) = (try ScriptedRedis { _, _ in nil }, try ScriptedRedis())
        let link = try stage.link("address redis.test:6379; timeout 200ms;")
        let places = [first, second].compactMap { SocketAddress("127.0.0.1:\($0.port)") }
        link.resolve(to: [places[0]])
        #expect(stage.turnUntil { link.isAvailable })
        let asked = KeptDecision()
        link.decide([LinkStage.call()], for: asked)
        link.resolve(to: [places[1]])
        #expect(stage.turnUntil { asked.told.count == 1 })
    }
}
