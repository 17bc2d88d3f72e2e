import Bytes
import Foundation
import RateLimiting
import TestSockets
import Testing
import Time

@testable import Redis

/// A real server that runs the script, with a clock that the test sets.
final class ScriptServer {
    struct Failure: Error {}

    private let process = Process()
    private let client: RawClient
    private let reader = RedisReplyReader()
    let port = Ports.free()

    init() throws {
        process.executableURL = URL(
            fileURLWithPath: ProcessInfo.processInfo.environment["PORTCULLIS_REDIS_SERVER"] ?? "/usr/bin/redis-server")
        process.arguments = ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let port = port
        #expect(eventually { Ports.isOpen(port) })
        client = try RawClient(port: port)
    }

    deinit { kill(process.processIdentifier, SIGKILL) }

    /// The script, whose time comes with the arguments.
    private static let script: [UInt8] = {
        let text = LimitScript.text
        let clock = "local time = redis.call('TIME')"
        precondition(text.contains(clock))
        return Array(text.replacingOccurrences(of: clock, with: "local time = {ARGV[#ARGV - 1], ARGV[#ARGV]}").utf8)
    }()

    func run(_ arguments: [[UInt8]], at microseconds: UInt64) throws -> RedisReply {
        let time = ["\(microseconds / 1_000_000)", "\(microseconds % 1_000_000)"].map { Array($0.utf8) }
        return try send([Array("EVAL".utf8), Self.script] + arguments + time)
    }

    /// Asks for one key, as a request does.
    ///
    /// - Parameter moment: microseconds.
    func ask(_ name: String, _ quota: Quota, count: UInt64 = 1, at moment: UInt64) throws -> GCRA.Decision {
        let call = RemoteCall(name: Array(name.utf8), fingerprint: 1, quota: quota, count: count)
        let reply = try run(LimitScript.arguments(deciding: [call]), at: moment)
        return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
    }

    func set(_ name: String, _ value: String) throws { #expect(try command(["SET", name, value]) == .status("OK")) }

    func command(_ words: [String]) throws -> RedisReply { try send(words.map { Array($0.utf8) }) }

    private func send(_ words: [[UInt8]]) throws -> RedisReply {
        var output = ByteQueue()
        RedisCommand.append(words, to: &output)
        client.send(output.readable.copied())
        while true {
            if let reply = try reader.next() { return reply }
            let bytes = try #require(client.waitForBytes(65_536, silence: 20_000))
            try reader.feed(bytes.span)
        }
    }
}

extension LimitScript {
    /// What one request asks.
    static func arguments(deciding calls: [RemoteCall]) -> [[UInt8]] { arguments([.decision(KeptDecision(), calls: calls)]) }
}

/// Keeps what it is told.
final class KeptDecision: RemoteDecisionReceiver {
    private(set) var told: [[GCRA.Decision]?] = []
    private(set) var late: [[GCRA.Decision]] = []

    func decided(_ decisions: [GCRA.Decision]?, at now: Instant) { told.append(decisions) }
    func decidedLate(_ decisions: [GCRA.Decision], at now: Instant) { late.append(decisions) }
}
