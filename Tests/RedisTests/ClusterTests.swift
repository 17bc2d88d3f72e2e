import RateLimiting
import System
import TestSockets
import Testing
import Time

@testable import Redis

@Suite struct ClusterSlotsTests {
    private func slot(_ name: String) -> Int { ClusterSlots.slot(of: [UInt8](name.utf8)) }

    /// CRC-16/XMODEM of "123456789" is 0x31C3; the others are what Redis says to CLUSTER KEYSLOT.
    @Test func slotsAreThoseOfTheSpecification() {
        #expect(slot("123456789") == 0x31C3 % 16_384)
        #expect(slot("") == 0 && slot("foo") == 12_182 && slot("bar") == 5_061)
        // What stands in braces decides alone, where there is anything.
        #expect(slot("{user1000}.following") == slot("user1000") && slot("foo{bar}{zap}") == slot("bar"))
        #expect(slot("foo{}{bar}") != slot("bar") && slot("foo{{bar}}zap") == slot("{bar"))
    }

    private func text(_ text: String) -> RedisReply { .string([UInt8](text.utf8)) }
    private let asked = SocketAddress("192.0.2.9:7000")!

    @Test func readsWhereTheSlotsAre() throws {
        let reply = RedisReply.array([
            .array([.integer(0), .integer(99), .array([text("192.0.2.1"), .integer(6_379), text("id")]), .array([text("192.0.2.4")])]),
            // It does not know its own address.
            .array([.integer(200), .integer(200), .array([.null, .integer(7_001), text("id"), .array([])])]),
            // A name, with the address beside it; and the other way round.
            .array([
                .integer(300), .integer(300),
                .array([text("r.example"), .integer(1), text("id"), .array([text("ip"), text("192.0.2.2")])]),
            ]),
            .array([
                .integer(301), .integer(301),
                .array([text("192.0.2.3"), .integer(1), text("id"), .array([text("hostname"), text("s.example")])]),
            ]),
            // Which name it has nobody has told the server; and one that says that the address asked is right, whatever else it knows.
            .array([.integer(302), .integer(302), .array([text("?"), .integer(1), text("id"), .array([text("ip"), text("192.0.2.4")])])]),
            .array([.integer(303), .integer(303), .array([.null, .integer(2), text("id"), .array([text("ip"), text("10.0.0.1")])])]),
        ])
        let slots = try #require(ClusterSlots(reply, from: asked))
        #expect(slots[0]?.address == SocketAddress("192.0.2.1:6379") && slots[99] == slots[0] && slots[100] == nil)
        #expect(slots[200]?.address == SocketAddress("192.0.2.9:7001"))
        #expect(slots[300] == ClusterSlots.Node(address: SocketAddress("192.0.2.2:1")!, hostname: "r.example"))
        #expect(slots[301] == ClusterSlots.Node(address: SocketAddress("192.0.2.3:1")!, hostname: "s.example"))
        #expect(slots.covered == 105 && slots.nodes.count == 6)
        #expect(slots[302] == ClusterSlots.Node(address: SocketAddress("192.0.2.4:1")!, hostname: ""))
        #expect(slots[303] == ClusterSlots.Node(address: SocketAddress("192.0.2.9:2")!, hostname: ""))
    }

    @Test func believesNoOtherReply() {
        let good = RedisReply.array([text("192.0.2.1"), .integer(1)])
        for wrong: RedisReply in [
            .null, .integer(1), .array([.null]), .array([.array([.integer(0), .integer(1)])]),
            .array([.array([.integer(-1), .integer(1), good])]), .array([.array([.integer(0), .integer(16_384), good])]),
            .array([.array([.integer(2), .integer(1), good])]), .array([.array([.integer(0), .integer(.max), good])]),
            .array([.array([.integer(0), .integer(1), .array([text("192.0.2.1"), .integer(65_536)])])]),
            .array([.array([.integer(0), .integer(1), .array([text("no address"), .integer(1)])])]),
            .array([.array([.integer(0), .integer(1), .array([])])]),
        ] {
            #expect(ClusterSlots(wrong, from: asked) == nil, "\(wrong)")
        }
        // More servers than there are.
        let many = (0..<2_000).map { number in
            RedisReply.array([.integer(Int64(number)), .integer(Int64(number)), .array([text("192.0.2.1"), .integer(Int64(number))])])
        }
        #expect(ClusterSlots(.array(many), from: asked) == nil)
    }

    /// Values that would all have one slot where clients chose it are spread over all of them.
    @Test func clientsChooseNoSlot() {
        let names = KeyNames(prefix: "pc", secret: nil)
        let steered = Set((0..<1_000).map { ClusterSlots.slot(of: names.name(ofKey: Array("{a}\($0)".utf8), limit: "one")) })
        #expect(steered.count >= 900, "\(steered.count)")
        // As they would be spread by the hash tag of what they are.
        #expect(Set((0..<1_000).map { ClusterSlots.slot(of: Array("{a}\($0)".utf8)) }).count == 1)
    }

    @Test func readsWhereAKeyHasGone() {
        #expect(Redirection("MOVED 3999 127.0.0.1:6381") == .moved(slot: 3_999, host: "127.0.0.1", port: 6_381))
        #expect(Redirection("ASK 1 ::1:6381") == .ask(slot: 1, host: "::1", port: 6_381))
        #expect(Redirection("MOVED 1 :6381") == .moved(slot: 1, host: "", port: 6_381))
        #expect(Redirection("TRYAGAIN Multiple keys request during rehashing of slot") == .tryAgain)
        #expect(Redirection("CLUSTERDOWN Hash slot not served") == .unserved)
        #expect(Redirection("CLUSTERDOWN The cluster is down") == nil)
        for text in [
            "MOVED", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED 1 a", "MOVED 1 a:70000", "MOVED x a:1", "ASK 1", "MOVEDX 1 a:1", "ERR",
        ] {
            #expect(Redirection(text) == nil, "\(text)")
        }
    }
}

/// A cluster that does not mean well.
@Suite struct HostileClusterTests {
    private let stage: LinkStage
    private var loop: EventLoop { stage.loop }

    init() throws { stage = try LinkStage() }

    private final class Receiver: RemoteDecisionReceiver {
        private(set) var answers = 0
        func decided(_ decisions: [GCRA.Decision]?, at now: Instant) { answers += 1 }
        func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) {}
    }

    /// A server that has all slots, and says of each key that it is with `target`.
    private func server(_ target: Box<Int>, _ asked: Box<Int>, error: String = "MOVED") throws -> ScriptedServer {
        let own = Box(0)
        let server = try ScriptedServer { client, _ in
            while let bytes = client.waitForBytes(65_536, silence: 60_000) {
                // Each command in its order, by its words.
                for word in String(decoding: bytes, as: UTF8.self).split(separator: "\r\n") {
                    switch word {
                    case "AUTH", "ASKING": client.send("+OK\r\n")
                    case "CLUSTER": client.send("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:\(own.value)\r\n")
                    case "ROLE": client.send(ScriptedRedis.greeting())
                    case "EVALSHA":
                        asked.change { $0 += 1 }
                        client.send("-\(error) 1 127.0.0.1:\(target.value)\r\n")
                    default: break
                    }
                }
            }
        }
        own.change { $0 = server.port }
        return server
    }

    /// Each question goes on twice, and then there is no reply: whether a server sends it back to itself, to another one or to nobody.
    @Test(arguments: ["MOVED", "ASK"], [true, false]) func aQuestionGoesRoundNoLongerThanItsTime(error: String, toItself: Bool) throws {
        let (target, asked) = (Box(1), Box(0))
        let server = try server(target, asked, error: error)
        if toItself { target.change { $0 = server.port } }
        let store = try stage.store("cluster 127.0.0.1:\(server.port); timeout 300ms;")
        let call = RemoteCall(name: [UInt8]("k".utf8), fingerprint: 7, quota: Quota(count: 5, window: .seconds(5)))
        #expect(stage.turnUntil { store.isAvailable(for: [call]) })
        let receivers = (0..<100).map { _ in Receiver() }
        for receiver in receivers where store.isAvailable(for: [call]) { store.decide([call], for: receiver) }
        #expect(
            stage.turnUntil { receivers.allSatisfy { $0.answers == 1 } })
        #expect(asked.value <= 300, "\(asked.value)")
        for _ in 0..<20 { loop.turn(waitingAtMost: 5) }
        #expect(receivers.allSatisfy { $0.answers == 1 })
    }

    /// A slot that nobody has, or whose keys are on their way, is nobody else's trouble: the server is asked for the others as before.
    @Test(arguments: ["CLUSTERDOWN Hash slot not served", "TRYAGAIN Multiple keys request during rehashing of slot"])
    func aSlotThatIsNotServedConcernsItselfAlone(error: String) throws {
        let own = Box(0)
        let connections = Box(0)
        let server = try ScriptedServer { client, _ in
            connections.change { $0 += 1 }
            while let bytes = client.waitForBytes(65_536, silence: 60_000) {
                let text = String(decoding: bytes, as: UTF8.self)
                if text.contains("CLUSTER") { client.send("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:\(own.value)\r\n") }
                if text.contains("ROLE") { client.send(ScriptedRedis.greeting()) }
                for question in text.split(separator: "EVALSHA", omittingEmptySubsequences: false).dropFirst() {
                    client.send(question.contains("odd") ? "-\(error)\r\n" : ScriptedRedis.granted)
                }
            }
        }
        own.value = server.port
        let store = try stage.store("cluster 127.0.0.1:\(server.port); timeout 2s;")
        func ask(_ name: String) throws -> Bool? {
            let call = LinkStage.call(name)
            #expect(store.isAvailable(for: [call]))
            let asked = KeptDecision()
            store.decide([call], for: asked)
            #expect(
                stage.turnUntil { asked.told.count == 1 })
            return asked.told.first??.first?.isAllowed
        }
        #expect(
            stage.turnUntil { store.isAvailable(for: [LinkStage.call("k")]) })
        // What asks for the slots is another connection; those for questions are not made again.
        let before = connections.value
        for _ in 0..<5 {
            #expect(try ask("odd") == nil)
            #expect(try ask("even") == true)
        }
        #expect(connections.value == before)
    }

    /// A key that an operator forgives is forgiven where it lies by now.
    @Test(arguments: ["MOVED", "ASK"]) func aResetGoesOnToWhereTheKeyIs(error: String) throws {
        let other = try ScriptedRedis()
        let (target, asked) = (Box(other.port), Box(0))
        let server = try server(target, asked, error: error)
        let store = try stage.store("cluster 127.0.0.1:\(server.port); timeout 2s;")
        let call = LinkStage.call()
        #expect(stage.turnUntil { store.isAvailable(for: [call]) })
        // It waits for the connection there, and so does what is asked afterwards.
        store.reset(call)
        let next = KeptDecision()
        store.decide([call], for: next)
        #expect(
            stage.turnUntil { next.told.count == 1 })
        let words = other.heard.value.split(separator: "\r\n").filter { ["ASKING", "reset", "one", "decide"].contains($0) }
        #expect(
            words == (error == "ASK" ? ["ASKING", "reset", "ASKING", "one"] : ["reset", "one"])
                && next.told.first??.first?.isAllowed == true, "\(words)")
    }

    /// Servers that send each question to another place: links, connections and questions about the slots stay few.
    @Test func aStormOfRedirectionsIsBounded() throws {
        let (own, slotsAsked, redirected) = (Box(0), Box(0), Box(0))
        let server = try ScriptedServer { client, _ in
            while let bytes = client.waitForBytes(1 << 20, silence: 60_000) {
                let text = String(decoding: bytes, as: UTF8.self)
                if text.contains("CLUSTER") {
                    slotsAsked.change { $0 += 1 }
                    client.send("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:\(own.value)\r\n")
                }
                if text.contains("ROLE") { client.send(ScriptedRedis.greeting()) }
                var said = ""
                for _ in text.split(separator: "EVALSHA", omittingEmptySubsequences: false).dropFirst() {
                    let number = redirected.change { $0 += 1 }
                    // Addresses of the host itself at which nobody listens.
                    said += "-MOVED \(number % 16_384) 127.\(number / 200 % 200 + 1).\(number % 200 + 1).1:\(1 + number % 1_000)\r\n"
                }
                client.send(said)
            }
        }
        own.value = server.port
        let store = try #require(try stage.store("cluster 127.0.0.1:\(server.port); timeout 300ms;") as? ClusterStore)
        let call = LinkStage.call()
        let began = Clock.now()
        var (told, asked, most) = (0, 0, 0)
        var receivers: [Receiver] = []
        let isDone = eventually(within: 120) {
            loop.turn(waitingAtMost: 5)
            if store.isAvailable(for: [call]) {
                for number in 0..<400 where store.isAvailable(for: [LinkStage.call("k\(asked)-\(number)")]) {
                    let receiver = Receiver()
                    store.decide([LinkStage.call("k\(asked)-\(number)")], for: receiver)
                    receivers.append(receiver)
                    asked += 1
                }
            }
            told += receivers.count { $0.answers == 1 }
            receivers.removeAll { $0.answers > 0 }
            most = max(most, store.linksCount)
            return redirected.value >= 100_000
        }
        #expect(isDone, "\(redirected.value)")
        #expect(
            eventually {
                loop.turn(waitingAtMost: 10)
                told += receivers.count { $0.answers == 1 }
                receivers.removeAll { $0.answers > 0 }
                return receivers.isEmpty
            })
        #expect(told == asked && most <= 1_000, "\(told) of \(asked), \(most) links")
        let seconds = Clock.now().since(began).milliseconds / 1_000 + 1
        #expect(UInt64(slotsAsked.value) <= 10 * seconds + 5, "\(slotsAsked.value) in \(seconds) s")
    }

    /// A server that takes connections and says nothing keeps nobody from finding the others.
    @Test func aServerThatHangsIsPassedOver() throws {
        let (target, asked) = (Box(1), Box(0))
        let deaf = try ScriptedServer { client, _ in while client.waitForBytes(65_536, silence: 60_000) != nil {} }
        let server = try server(target, asked)
        let store = try stage.store(
            "cluster 127.0.0.1:\(deaf.port) 127.0.0.1:\(server.port); username u; password p; connect_timeout 100ms;")
        let call = RemoteCall(name: [UInt8]("k".utf8), fingerprint: 7, quota: Quota(count: 5, window: .seconds(5)))
        #expect(stage.turnUntil { store.isAvailable(for: [call]) })
    }

    /// What a server says that does not know AUTH has the password in it.
    @Test func noPasswordIsToldOf() throws {
        let server = try ScriptedServer { client, _ in
            while client.waitForBytes(65_536, silence: 60_000) != nil {
                client.send("-ERR unknown command 'AUTH', with args beginning with: 'u' 'very-secret'\r\n-NOAUTH\r\n")
            }
        }
        let store = try stage.store("cluster 127.0.0.1:\(server.port); username u; password very-secret;")
        withExtendedLifetime(store) {
            #expect(stage.turnUntil { stage.observer.texts.contains { $0.contains("AUTH is refused: ERR") } }, "\(stage.observer.texts)")
        }
        #expect(!stage.observer.texts.contains { $0.contains("very-secret") })
    }

    /// Names may come later than the first question about the slots; those that are known by then are asked.
    @Test func namesMayComeLater() throws {
        let (target, asked) = (Box(1), Box(0))
        let server = try server(target, asked)
        let store = try stage.store("cluster redis.test:\(server.port); timeout 300ms;")
        let call = RemoteCall(name: [UInt8]("k".utf8), fingerprint: 7, quota: Quota(count: 5, window: .seconds(5)))
        for _ in 0..<20 { loop.turn(waitingAtMost: 5) }
        #expect(!store.isAvailable(for: [call]) && store.hasSettled)
        store.resolve("redis.test", to: [IPAddress("127.0.0.1")!])
        #expect(stage.turnUntil { store.isAvailable(for: [call]) })
    }
}
