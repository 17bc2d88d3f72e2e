import Foundation
import Glibc
import RateLimiting
import System
import TestSockets
import Testing
import Time

@testable import Redis

/// A server that says what no server should, or that it is not well: who asked is told once that there is no reply, and it is asked again when it is well.
@Suite struct HostileServerTests {
    private let stage: LinkStage

    init() throws { stage = try LinkStage() }

    /// On its first connection the server says this to the first question; later ones are good.
    private func server(_ said: String, then: @escaping @Sendable () -> Void = {}) throws -> ScriptedRedis {
        try ScriptedRedis { _, question in
            guard question.connection == 0, question.number == 0 else { return ScriptedRedis.granted }
            then()
            return said
        }
    }

    private func ask(_ link: RedisLink) -> KeptDecision {
        let asked = KeptDecision()
        link.decide([LinkStage.call()], for: asked)
        return asked
    }

    /// Of another shape, too large, half, or of another protocol: the connection is left, and the next one is a new beginning.
    @Test(arguments: [
        "+OK\r\n", ":5\r\n", "*0\r\n", "$-1\r\n", "*-1\r\n", "*2\r\n:1700000000000000\r\n$1\r\na\r\n", "*2\r\n:-1\r\n:1\r\n",
        "*2\r\n:1700000000000000\r\n:9000000000000000000\r\n", "*3\r\n:1700000000000000\r\n:1\r\n:-5\r\n", "*1000000\r\n",
        "$2147483647\r\n",
        "*2\r\n:1700000000000000\r\n", "$40\r\nhalf", ">2\r\n+invalidate\r\n+k\r\n", "%1\r\n+a\r\n+b\r\n", "_\r\n", "junk",
        "\u{0}\u{0}\u{0}",
        String(repeating: "*1\r\n", count: 100) + ":1\r\n", "*2\r\n:99999999999999999999\r\n:1\r\n", "",
    ])
    func aReplyThatMakesNoSense(said: String) throws {
        let server = try server(said)
        let link = try stage.link("address 127.0.0.1:\(server.port); timeout 300ms;")
        #expect(stage.turnUntil { link.isAvailable })
        let asked = ask(link)
        #expect(stage.turnUntil { asked.told.count == 1 }, "\(said)")
        #expect(asked.told.first! == nil, "\(said)")
        #expect(stage.turnUntil { link.isAvailable && server.made.value == 2 && server.open.value == 1 }, "\(said)")
        let next = ask(link)
        #expect(stage.turnUntil { next.told.count == 1 } && next.told.first??.first?.isAllowed == true)
        #expect(asked.told.count == 1)
    }

    /// One reply too many is nobody's, and none is taken for the reply to a later question.
    @Test func oneReplyTooMany() throws {
        let server = try server(ScriptedRedis.granted + "*2\r\n:1700000000000000\r\n:-77000\r\n")
        let link = try stage.link("address 127.0.0.1:\(server.port); timeout 300ms;")
        #expect(stage.turnUntil { link.isAvailable })
        let first = ask(link)
        #expect(stage.turnUntil { first.told.count == 1 && server.made.value == 2 && link.isAvailable })
        #expect(first.told.first??.first?.isAllowed == true && stage.observer.texts.contains { $0.contains("a reply without a call") })
        let second = ask(link)
        #expect(stage.turnUntil { second.told.count == 1 } && second.told.first??.first?.isAllowed == true)
    }

    /// Where the file names one server, or several that know nothing of each other, nobody goes where a server sends them.
    @Test(arguments: ["address", "shards"], ["MOVED", "ASK"])
    func isSentNowhere(topology: String, error: String) throws {
        let elsewhere = try ScriptedRedis()
        let server = try ScriptedRedis { _, _ in "-\(error) 1 127.0.0.1:\(elsewhere.port)\r\n" }
        let other = try ScriptedRedis { _, _ in "-\(error) 1 127.0.0.1:\(elsewhere.port)\r\n" }
        let places = topology == "address" ? "127.0.0.1:\(server.port)" : "127.0.0.1:\(server.port) 127.0.0.1:\(other.port)"
        let store = try stage.store("\(topology) \(places); timeout 300ms; password secret;")
        #expect(stage.turnUntil { store.isAvailable(for: [LinkStage.call()]) })
        let asked = KeptDecision()
        store.decide([LinkStage.call()], for: asked)
        #expect(stage.turnUntil { asked.told.count == 1 } && asked.told.first! == nil)
        // It is met again, and probes are answered in the same way.
        #expect(stage.turnUntil { server.made.value + other.made.value >= (topology == "address" ? 2 : 3) })
        #expect(elsewhere.made.value == 0)
    }

    /// What another connection may mend is met with one; what it would meet again is not. In both cases nobody asks until probes are answered.
    @Test(arguments: [
        ("LOADING Redis is loading the dataset in memory", true), ("READONLY You can't write against a read only replica.", true),
        ("MASTERDOWN Link with MASTER is down", true), ("NOAUTH Authentication required.", true),
        ("OOM command not allowed when used memory > 'maxmemory'.", false), ("MISCONF Errors writing to the AOF file", false),
        ("NOREPLICAS Not enough good replicas to write.", false), ("BUSY Redis is busy running a script.", false),
        ("NOPERM this user has no permissions", false), ("CLUSTERDOWN The cluster is down", false), ("ERR whatever", false),
    ])
    func aServerThatIsNotWell(error: String, isLeft: Bool) throws {
        let server = try server("-\(error)\r\n")
        let link = try stage.link("address 127.0.0.1:\(server.port); timeout 300ms;")
        #expect(stage.turnUntil { link.isAvailable })
        let asked = ask(link)
        #expect(stage.turnUntil { asked.told.count == 1 } && asked.told.first! == nil)
        // In the turn in which it said so.
        #expect(!link.isAvailable)
        let word = error.split(separator: " ")[0]
        #expect(stage.observer.texts.contains { $0.hasPrefix("away: \(word)") }, "\(stage.observer.texts)")
        #expect(stage.turnUntil { link.isAvailable })
        #expect(server.made.value == (isLeft ? 2 : 1))
        let next = ask(link)
        #expect(stage.turnUntil { next.told.count == 1 } && next.told.first??.first?.isAllowed == true)
    }

    /// A server that has as many clients as it takes says so before it is asked anything, with a password and without.
    @Test(arguments: ["", "password secret;"]) func aServerThatIsFull(password: String) throws {
        let server = try ScriptedServer { client, _ in
            client.send("-ERR max number of clients reached\r\n")
            _ = client.isClosedByPeer(within: 20_000)
        }
        let link = try stage.link("address 127.0.0.1:\(server.port); \(password)")
        #expect(stage.turnUntil { !stage.observer.texts.isEmpty })
        #expect(stage.observer.texts.first == "away: it has as many clients as it takes (maxclients)", "\(stage.observer.texts)")
        #expect(!link.isAvailable)
    }

    /// A server that answers nothing owes so many replies and no more.
    @Test func repliesThatAreOwedAreBounded() throws {
        let server = try ScriptedRedis { _, question in question.connection == 0 ? nil : ScriptedRedis.granted }
        let link = try stage.link("address 127.0.0.1:\(server.port); timeout 6s;")
        #expect(stage.turnUntil { link.isAvailable })
        var asked: [KeptDecision] = []
        for _ in 0..<1_100 {
            asked.append(ask(link))
            stage.loop.turn(waitingAtMost: 0)
        }
        // The last of them are told because the connection ends, in the turn in which one reply too many is owed.
        var hasEnded = false
        #expect(
            stage.turnUntil {
                guard asked.allSatisfy({ $0.told.count == 1 }) else { return false }
                hasEnded = !link.isReady
                return true
            })
        #expect(hasEnded && asked.allSatisfy { $0.told.first! == nil })
    }

    /// A name that leads elsewhere is followed also where there is always somebody who waits for a reply.
    @Test func aServerThatOwesAlwaysIsLeftInTheEnd() throws {
        let first = try ScriptedRedis { _, _ in
            usleep(20_000)
            return ScriptedRedis.granted
        }
        let second = try ScriptedRedis()
        let link = try stage.link("address redis.test:6379; timeout 5s;")
        let places = [first, second].compactMap { SocketAddress("127.0.0.1:\($0.port)") }
        link.resolve(to: [places[0]])
        #expect(stage.turnUntil { link.isAvailable })
        var asked: [KeptDecision] = []
        for _ in 0..<10 {
            asked.append(ask(link))
            stage.loop.turn(waitingAtMost: 1)
        }
        link.resolve(to: [places[1]])
        #expect(
            stage.turnUntil {
                if link.isAvailable { asked.append(ask(link)) }
                return second.open.value == 1 && first.open.value == 0
            })
        #expect(stage.turnUntil { asked.allSatisfy { $0.told.count == 1 } })
    }

    /// Where nobody asks for a while the system keeps the connection alive, and finds out when the other end is gone.
    @Test func aConnectionIsKeptAlive() throws {
        let server = try ScriptedRedis()
        let link = try stage.link("address 127.0.0.1:\(server.port);")
        #expect(stage.turnUntil { link.isAvailable })
        let port = String(server.port, radix: 16, uppercase: true)
        let far = "0100007F:" + String(repeating: "0", count: 4 - port.count) + port
        // Of proc(5): local and remote address, the state, the queues, and the timer that runs: 02 is that of keepalive. What changes meanwhile may hide a line.
        func timers() -> [Substring] {
            guard let file = FileHandle(forReadingAtPath: "/proc/net/tcp") else { return [] }
            // It has no size, and with many sockets comes in pieces.
            var table = ""
            while case let piece = file.availableData, !piece.isEmpty { table += String(decoding: piece, as: UTF8.self) }
            return table.split(separator: "\n").compactMap { line in
                let columns = line.split(separator: " ")
                return columns.count > 5 && columns[2] == far && columns[3] == "01" ? columns[5] : nil
            }
        }
        #expect(stage.turnUntil { timers().contains { $0.hasPrefix("02:") } }, "\(timers())")
    }

    /// A link whose connections fail makes them less and less often: a server that comes back is not met by a storm.
    @Test func connectionsThatFailAreSpreadOut() throws {
        let made = Box<[Instant]>([])
        let server = try ScriptedServer { client, _ in
            made.change { $0.append(Clock.now()) }
            client.send("-ERR no\r\n")
        }
        let link = try stage.link("address 127.0.0.1:\(server.port);")
        #expect(stage.turnUntil { made.value.count >= 9 })
        #expect(!link.isAvailable)
        // Half of 50, 100, 200, 400, 800 and then of 1,000 ms at the least: 2,275 ms for eight. The thread that takes the time may be late itself.
        let times = made.value
        #expect(times[8].since(times[0]) >= .milliseconds(2_000))
    }
}
