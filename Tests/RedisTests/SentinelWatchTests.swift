import RateLimiting
import System
import TestSockets
import Testing
import Time

@testable import Redis

/// Sentinels that know nothing, are behind, or lie.
@Suite struct SentinelWatchTests {
    private let stage: LinkStage

    init() throws { stage = try LinkStage() }

    /// Says where the master is, as the test has it; nil for a master that it does not know.
    private final class Sentinel: @unchecked Sendable {
        let master: Box<Int?>
        let asked = Box(0)
        private let server: ScriptedServer
        private let isOver = Flag()
        var port: Int { server.port }

        init(_ port: Int?) throws {
            master = Box(port)
            let (master, asked, isOver) = (master, asked, isOver)
            server = try ScriptedServer { client, _ in
                while !isOver.isSet {
                    guard let bytes = client.waitForBytes(65_536, silence: 100) else {
                        if client.isBroken { return }
                        continue
                    }
                    let text = String(decoding: bytes, as: UTF8.self)
                    if text.contains("GET-MASTER") {
                        asked.change { $0 += 1 }
                        if let port = master.value {
                            client.send("*2\r\n$9\r\n127.0.0.1\r\n$\(String(port).utf8.count)\r\n\(port)\r\n")
                        } else {
                            client.send("*-1\r\n")
                        }
                    }
                    if text.contains("SUBSCRIBE") { client.send("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n") }
                    if text.contains("PING") { client.send("*2\r\n$4\r\npong\r\n$0\r\n\r\n") }
                }
            }
        }

        /// Ends its connections, and takes no more of them.
        func stop() {
            isOver.set()
            server.stop()
        }

        deinit { stop() }
    }

    private func store(_ sentinels: [Sentinel]) throws -> any RedisStore {
        let list = sentinels.map { "127.0.0.1:\($0.port)" }.joined(separator: " ")
        return try stage.store("sentinel \(list) { master limits; } timeout 300ms;")
    }

    private func isCounted(_ store: any RedisStore) -> Bool {
        let asked = KeptDecision()
        store.decide([LinkStage.call()], for: asked)
        return stage.turnUntil { asked.told.count == 1 } && asked.told.first??.first?.isAllowed == true
    }

    @Test func oneThatKnowsNoMasterIsPassedOver() throws {
        let master = try ScriptedRedis()
        let sentinels = try [nil, master.port, master.port].map { try Sentinel($0) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        #expect(isCounted(store))
        #expect(stage.observer.texts.contains { $0.contains("a sentinel knows of no master 'limits'") }, "\(stage.observer.texts)")
    }

    /// A replica that is named as the master says itself that it is none.
    @Test func oneThatNamesAReplicaIsNotBelieved() throws {
        let (replica, master) = (try ScriptedRedis(greeting: { _ in ScriptedRedis.greeting(role: "slave") }), try ScriptedRedis())
        let sentinels = try [replica.port, master.port, master.port].map { try Sentinel($0) }
        let store = try store(sentinels)
        #expect(
            stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) },
            "\(stage.observer.texts) \(sentinels.map(\.asked.value)) \(replica.made.value) \(master.made.value)")
        #expect(isCounted(store) && master.open.value == 1)
        #expect(!replica.heard.value.contains("EVALSHA"))
    }

    /// One that names another place, as this one does on the gateway's own host, is not followed while two others name the present master.
    @Test(arguments: 0..<3) func oneThatLiesAloneIsNotFollowed(liar: Int) throws {
        let (master, trap) = (try ScriptedRedis(), try ScriptedRedis())
        let sentinels = try [master.port, master.port, master.port].map { try Sentinel($0) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        sentinels[liar].master.value = trap.port
        let before = sentinels.map(\.asked.value)
        // It is heard in its turn, and then the others are.
        #expect(stage.turnUntil { sentinels.indices.allSatisfy { sentinels[$0].asked.value > before[$0] } })
        let all = sentinels.map(\.asked.value).reduce(0, +)
        #expect(stage.turnUntil { sentinels.map(\.asked.value).reduce(0, +) >= all + 3 })
        #expect(isCounted(store) && trap.made.value == 0 && master.made.value == 1)
    }

    /// A dispute in which the old master has more voices, because others have not heard yet, is not the last one.
    @Test func whatOthersComeToSayIsHeardSoon() throws {
        let (old, new) = (try ScriptedRedis(), try ScriptedRedis())
        let sentinels = try (0..<3).map { _ in try Sentinel(old.port) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        sentinels[1].master.value = new.port
        let before = sentinels.map(\.asked.value)
        #expect(stage.turnUntil { sentinels.indices.allSatisfy { sentinels[$0].asked.value > before[$0] } })
        sentinels[2].master.value = new.port
        let asked = sentinels.map(\.asked.value).reduce(0, +)
        #expect(stage.turnUntil { old.open.value == 0 && new.open.value == 1 })
        // Not after another half a minute of asking the one that is cut off.
        #expect(sentinels.map(\.asked.value).reduce(0, +) - asked <= 10)
    }

    /// A minority that is behind, with the old master behind it, moves nobody back and forth.
    @Test func aMinorityThatIsBehindMovesNobody() throws {
        let (old, new) = (try ScriptedRedis(), try ScriptedRedis())
        let sentinels = try (0..<5).map { _ in try Sentinel(old.port) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        for sentinel in sentinels.suffix(3) { sentinel.master.value = new.port }
        #expect(stage.turnUntil { old.open.value == 0 && new.open.value == 1 })
        // Longer than the old one is passed over for having been left.
        let (since, before) = (Clock.now(), sentinels.map(\.asked.value).reduce(0, +))
        #expect(stage.turnUntil { Clock.now().since(since) > .seconds(20) })
        #expect(old.made.value == 1 && new.made.value == 1 && isCounted(store))
        // And they are not asked all the time for that.
        #expect(sentinels.map(\.asked.value).reduce(0, +) - before <= 40)
    }

    /// One that is behind does not keep the link at a server that two others say is the master no more, although it still answers as one.
    @Test(arguments: 0..<3) func oneThatIsBehindKeepsNobody(stale: Int) throws {
        let (old, new) = (try ScriptedRedis(), try ScriptedRedis())
        let sentinels = try (0..<3).map { _ in try Sentinel(old.port) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        #expect(isCounted(store) && old.open.value == 1)
        for (index, sentinel) in sentinels.enumerated() where index != stale { sentinel.master.value = new.port }
        #expect(stage.turnUntil { old.open.value == 0 && new.open.value == 1 && store.isAvailable(for: [LinkStage.call()]) })
        #expect(isCounted(store))
        // And it does not lead back.
        let before = sentinels.map(\.asked.value).reduce(0, +)
        #expect(stage.turnUntil { sentinels.map(\.asked.value).reduce(0, +) >= before + 3 })
        #expect(old.made.value == 1 && isCounted(store))
    }

    /// Where no sentinel is left the master is asked all the same.
    @Test func withoutSentinelsTheLinkStays() throws {
        let master = try ScriptedRedis()
        let sentinels = try (0..<3).map { _ in try Sentinel(master.port) }
        let store = try store(sentinels)
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        for sentinel in sentinels { sentinel.stop() }
        let since = Clock.now()
        #expect(stage.turnUntil { Clock.now().since(since) > .seconds(4) })
        #expect(isCounted(store) && master.made.value == 1)
    }
}
