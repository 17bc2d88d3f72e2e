import ConfigFile
import RateLimiting
import System
import TestSockets
import TestSupport
import Testing
import Time

@testable import Redis

/// A server that greets as Redis does, and answers questions as the test says.
final class ScriptedRedis: @unchecked Sendable {
    /// A question that came: the connection's number, and its own among all.
    struct Question {
        let connection: Int
        let number: Int
    }

    let port: Int
    /// Connections that were made, and that are open.
    let made = Box(0)
    let open = Box(0)
    /// All that was said to it.
    let heard = Box("")
    private let server: ScriptedServer
    /// Whether it ends its connections.
    private let isOver = Flag()

    /// What it answers to `ROLE` and `SCRIPT LOAD`.
    static func greeting(role: String = "master") -> String {
        "*3\r\n$\(role.utf8.count)\r\n\(role)\r\n:0\r\n*0\r\n$40\r\n\(String(repeating: "a", count: 40))\r\n"
    }

    /// One request of a rate is granted.
    static let granted = "*2\r\n:1700000000000000\r\n:1000\r\n"

    /// - Parameters:
    ///   - answer: what is said to a call of the script; nil for nothing.
    ///   - greeting: by the connection's number.
    init(
        _ answer: @escaping @Sendable (RawClient, Question) -> String? = { _, _ in ScriptedRedis.granted },
        greeting: @escaping @Sendable (Int) -> String = { _ in ScriptedRedis.greeting() }
    ) throws {
        let (made, open, heard, isOver, questions) = (made, open, heard, isOver, Box(0))
        server = try ScriptedServer { client, number in
            made.change { $0 += 1 }
            open.change { $0 += 1 }
            defer { open.change { $0 -= 1 } }
            var rest = ""
            while !isOver.isSet {
                guard let bytes = client.waitForBytes(65_536, silence: 100) else {
                    if client.isBroken { return }
                    continue
                }
                let text = String(decoding: bytes, as: UTF8.self)
                heard.change { if $0.utf8.count < 1_000_000 { $0 += text } }
                rest += text
                if rest.contains("SCRIPT"), rest.contains("LOAD"), rest.contains("return answers") {
                    if rest.contains("AUTH") { client.send("+OK\r\n") }
                    client.send(greeting(number))
                    rest = ""
                    continue
                }
                // Each command in its order, by its words.
                for word in rest.split(separator: "\r\n") {
                    switch word {
                    case "ASKING": client.send("+OK\r\n")
                    case "CLUSTER": client.send("-ERR This instance has cluster support disabled\r\n")
                    case "EVALSHA":
                        let count = questions.change { $0 += 1 }
                        if let said = answer(client, Question(connection: number, number: count - 1)) { client.send(said) }
                    default: break
                    }
                }
                rest = ""
            }
        }
        port = server.port
    }

    func stop() { isOver.set() }

    deinit { stop() }
}

/// A link or a store, as a file describes it, that a test drives turn by turn.
struct LinkStage {
    let loop: EventLoop
    let observer = Observer()

    final class Observer: RedisStoreObserver {
        var texts: [String] = []
        func storeChanged(_ name: String, isAvailable: Bool, _ reason: String) {
            texts.append("\(isAvailable ? "back" : "away"): \(reason)")
        }
        func storeSaid(_ name: String, _ text: String) { texts.append(text) }
        func storeSettled() {}
    }

    init() throws { loop = try EventLoop() }

    func settings(_ text: String) throws -> RedisSettings {
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "redis main { \(text) }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        return try #require(RedisSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
    }

    func link(_ text: String) throws -> RedisLink {
        let settings = try settings(text)
        let link = RedisLink(settings, to: settings.topology.addresses[0], title: "main", on: loop, metrics: nil)
        link.observer = observer
        return link
    }

    func store(_ text: String) throws -> any RedisStore {
        let store = try settings(text).makeStore(on: loop)
        store.observer = observer
        return store
    }

    func turnUntil(_ condition: () -> Bool) -> Bool {
        eventually(within: 30) {
            loop.turn(waitingAtMost: 10)
            return condition()
        }
    }

    static func call(_ name: String = "k") -> RemoteCall {
        RemoteCall(name: [UInt8](name.utf8), fingerprint: UInt64(name.hashValue.magnitude) | 1, quota: Quota(count: 5, window: .seconds(5)))
    }
}
