import Bytes
import Foundation
import RateLimiting
import System
import TestSockets
import Testing
import Time

@testable import Redis

/// The script in a real server, with a clock that the test sets: it decides as the same algorithm does in memory.
@Suite struct ScriptPropertyTests {
    private final class Server {
        private let process = Process()
        let port = Ports.free()

        init() throws {
            process.executableURL = URL(fileURLWithPath: "/usr/bin/redis-server")
            process.arguments = ["--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            #expect(eventually { Ports.isOpen(self.port) })
        }

        deinit { kill(process.processIdentifier, SIGKILL) }
    }

    /// The script, whose time comes with the arguments.
    private static let script: [UInt8] = {
        let text = LimitScript.text
        let clock = "local time = redis.call('TIME')"
        precondition(text.contains(clock))
        return Array(text.replacingOccurrences(of: clock, with: "local time = {ARGV[#ARGV - 1], ARGV[#ARGV]}").utf8)
    }()

    private func run(_ arguments: [[UInt8]], at microseconds: UInt64, _ client: RawClient, _ reader: RedisReplyReader) throws -> RedisReply
    {
        var output = ByteQueue()
        let time = ["\(microseconds / 1_000_000)", "\(microseconds % 1_000_000)"].map { Array($0.utf8) }
        RedisCommand.append([Array("EVAL".utf8), Self.script] + arguments + time, to: &output)
        client.send(output.readable.copied())
        while true {
            if let reply = try reader.next() { return reply }
            let bytes = try #require(client.waitForBytes(65_536, silence: 20_000))
            try reader.feed(bytes.span)
        }
    }

    @Test func decidesAsMemoryDoes() throws {
        let server = try Server()
        let (client, reader) = (try RawClient(port: server.port), RedisReplyReader())
        var random = SystemRandomNumberGenerator()
        let months = Windows.Periods(
            LocalCalendar.starts(of: .month, first: 1, zone: "Europe/Berlin", around: Int64(Clock.wallSeconds()), count: 24))
        for trace in 0..<60 {
            let length: UInt64 = trace % 4 == 2 ? 86_400_000 * 30 : 10_000
            let count = UInt64.random(in: 1...12, using: &random)
            let kind: Windows.Kind? = [.fixed, .sliding, .calendar(months), nil][trace % 4]
            let windows = kind.map { Windows($0, count: count, length: length) }
            let quota = Quota(count: count, window: .milliseconds(length), windows: windows)
            let words = LimitTable.words(forKeys: 64)
            let table = LimitTable(
                try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
            var now = Clock.wallSeconds() * 1_000
            var charges: [(key: UInt64, memory: GCRA.Charge, store: RemoteRefund)] = []
            for _ in 0..<120 {
                now += UInt64.random(in: 0...min(length, 86_400_000 / 8) / (Bool.random(using: &random) ? 4 : 400), using: &random)
                let key = UInt64.random(in: 1...2, using: &random)
                if !charges.isEmpty, Int.random(in: 0..<8, using: &random) == 0 {
                    // The latest of them: an older one is worth what is left of it, which the two round differently.
                    let charge = charges.removeLast()
                    table.refund(charge.key, quota, charge.memory, now: now * 1_000_000)
                    _ = try run(LimitScript.arguments([charge.store]), at: now * 1_000, client, reader)
                    charges = []
                    continue
                }
                let units = UInt64.random(in: 1...3, using: &random)
                let name = Array("pc2:\(trace):\(key)".utf8)
                if Int.random(in: 0..<8, using: &random) == 0 {
                    // As much of it as there is.
                    let call = RemoteCall(name: name, fingerprint: key, quota: quota, count: units, isDivisible: true)
                    let reply = try run(LimitScript.arguments([call]), at: now * 1_000, client, reader)
                    let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                    let left = (0..<units).count { _ in table.admit(key, quota, now: now * 1_000_000).isAllowed }
                    #expect(said.granted == left && said.isAllowed == (left > 0), "\(quota) \(said) \(left) of \(units)")
                    charges = []
                    continue
                }
                let call = RemoteCall(name: name, fingerprint: key, quota: quota, count: units)
                let reply = try run(LimitScript.arguments([call]), at: now * 1_000, client, reader)
                let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                let here = table.admit(key, quota, units: units, now: now * 1_000_000)
                #expect(said.granted == here.granted && said.charge.units == max(1, said.granted))
                // No limit of a file lets a request wait for more than there ever is.
                if units > count { continue }
                #expect(said.isAllowed == here.isAllowed && said.remaining == here.remaining, "\(quota) \(said) \(here)")
                if windows != nil {
                    #expect(said.retryAfter == here.retryAfter && said.nextAfter == here.nextAfter && said.counts == here.counts)
                } else {
                    // Microseconds there, nanoseconds here.
                    #expect(said.retryAfter.milliseconds.distance(to: here.retryAfter.milliseconds).magnitude <= 1)
                }
                if here.isAllowed { charges.append((key, here.charge, RemoteRefund(call: call, charge: said.charge))) }
            }
        }
        // Every key ends by itself.
        client.send("INFO keyspace\r\n")
        let info = String(decoding: try #require(client.waitForBytes(65_536, silence: 20_000)), as: UTF8.self)
        let numbers = info.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        #expect(info.contains("expires="), "\(numbers)")
        if let line = info.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("db0:") }) {
            let parts = line.dropFirst(4).split(separator: ",").map { $0.split(separator: "=")[1] }
            #expect(parts[0] == parts[1], "\(line)")
        }
    }

    /// A value of another algorithm is none that anybody owes; one that is no value at all counts as used up, for its own window.
    @Test func readsValuesOfOthers() throws {
        let server = try Server()
        let (client, reader) = (try RawClient(port: server.port), RedisReplyReader())
        let now = Clock.wallSeconds() * 1_000_000
        let window = Quota(count: 3, window: .seconds(10), windows: Windows(.fixed, count: 3, length: 10_000))
        let plain = Quota(count: 3, window: .seconds(10))
        func ask(_ name: String, _ quota: Quota) throws -> GCRA.Decision {
            let call = RemoteCall(name: Array(name.utf8), fingerprint: 1, quota: quota)
            let reply = try run(LimitScript.arguments([call]), at: now, client, reader)
            return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
        }
        func set(_ name: String, _ value: String) throws {
            var output = ByteQueue()
            RedisCommand.append(["SET", name, value].map { Array($0.utf8) }, to: &output)
            client.send(output.readable.copied())
            let bytes = try #require(client.waitForBytes(65_536, silence: 20_000))
            try reader.feed(bytes.span)
            #expect(try reader.next() == .status("OK"))
        }
        #expect(try ask("a", plain).remaining == 2)
        #expect(try ask("a", window).remaining == 2)
        #expect(try ask("a", window).remaining == 1)
        #expect(try ask("a", plain).remaining == 2)
        for value in ["w", "w 1 2", "w x 1 1", "w -1 1 1", "w 1e9 1 1", "x", "", "w 1 2 3 4"] {
            try set("b", value)
            #expect(try ask("b", window).isAllowed == false, "\(value)")
        }
        // Of another window: nothing is owed.
        try set("d", "w 1 3 3")
        #expect(try ask("d", window).remaining == 2)
    }

    /// Where one limit refuses, the others are not charged, and nobody is told that they were.
    @Test(arguments: [false, true]) func refusalsChargeNothing(inWindows: Bool) throws {
        let server = try Server()
        let (client, reader) = (try RawClient(port: server.port), RedisReplyReader())
        let now = Clock.wallSeconds() * 1_000_000
        let windows = inWindows ? Windows(.fixed, count: 10, length: 3_600_000) : nil
        let wide = RemoteCall(
            name: Array("wide".utf8), fingerprint: 1, quota: Quota(count: 10, window: .seconds(3_600), windows: windows))
        let narrow = RemoteCall(name: Array("narrow".utf8), fingerprint: 2, quota: Quota(count: 1, window: .seconds(3_600)))
        func ask(_ calls: [RemoteCall]) throws -> [GCRA.Decision] {
            let reply = try run(LimitScript.arguments(calls), at: now, client, reader)
            return try #require(LimitScript.decisions(reply, of: calls), "\(reply)")
        }
        for order in [[wide, narrow], [narrow, wide]] {
            client.send("FLUSHALL\r\n")
            let flushed = try #require(client.waitForBytes(65_536, silence: 20_000))
            try reader.feed(flushed.span)
            #expect(try reader.next() == .status("OK"))
            #expect(try ask(order).allSatisfy(\.isAllowed))
            for _ in 0..<3 {
                let said = try ask(order)
                let (ofWide, ofNarrow) = order[0].fingerprint == 1 ? (said[0], said[1]) : (said[1], said[0])
                #expect(!ofNarrow.isAllowed && ofWide.isAllowed && ofWide.remaining == 9, "\(said)")
                if inWindows { #expect(ofWide.counts?.current == 1) }
            }
            #expect(try ask([wide])[0].remaining == 8)
        }
    }

    /// What a host knows of a key that the server has lost is kept, also by a question that is refused for it.
    @Test(arguments: [false, true]) func whatAHostKnowsIsKept(inWindows: Bool) throws {
        let server = try Server()
        let (client, reader) = (try RawClient(port: server.port), RedisReplyReader())
        let wall = Clock.wallSeconds() * 1_000
        let windows = inWindows ? Windows(.fixed, count: 5, length: 3_600_000) : nil
        let quota = Quota(count: 5, window: .seconds(3_600), windows: windows)
        func ask(floor: UInt64, start: UInt64 = 0) throws -> GCRA.Decision {
            let call = RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota, floor: floor, floorStart: start)
            let reply = try run(LimitScript.arguments([call]), at: wall * 1_000, client, reader)
            return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
        }
        // Of another window it is worth nothing.
        if let windows { #expect(try ask(floor: 5, start: windows.window(at: wall).start - 3_600_000).remaining == 4) }
        #expect(try !ask(floor: inWindows ? 5 : quota.gcra.tolerance, start: windows?.window(at: wall).start ?? 0).isAllowed)
        #expect(try !ask(floor: 0).isAllowed)
    }
}
