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
    @Test func decidesAsMemoryDoes() throws {
        let server = try ScriptServer()
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
                    _ = try server.run(LimitScript.arguments([.refund([charge.store])]), at: now * 1_000)
                    charges = []
                    continue
                }
                let units = UInt64.random(in: 1...3, using: &random)
                let name = Array("pc2:\(trace):\(key)".utf8)
                if Int.random(in: 0..<8, using: &random) == 0 {
                    // As much of it as there is.
                    let call = RemoteCall(name: name, fingerprint: key, quota: quota, count: units, isDivisible: true)
                    let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now * 1_000)
                    let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                    let left = (0..<units).count { _ in table.admit(key, quota, now: now * 1_000_000).isAllowed }
                    #expect(said.granted == left && said.isAllowed == (left > 0), "\(quota) \(said) \(left) of \(units)")
                    charges = []
                    continue
                }
                let call = RemoteCall(name: name, fingerprint: key, quota: quota, count: units)
                let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now * 1_000)
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
        guard case .string(let bytes) = try server.command(["INFO", "keyspace"]) else { throw ScriptServer.Failure() }
        let info = String(decoding: bytes, as: UTF8.self)
        let numbers = info.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
        #expect(info.contains("expires="), "\(numbers)")
        if let line = info.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("db0:") }) {
            let parts = line.dropFirst(4).split(separator: ",").map { $0.split(separator: "=")[1] }
            #expect(parts[0] == parts[1], "\(line)")
        }
    }

    /// Two gateways whose periods do not begin at one moment, because of two zones or two versions of the system's time zones, count one count.
    @Test func windowsThatBeginAtOtherMomentsAreOneCount() throws {
        let server = try ScriptServer()
        let wall = Clock.wallSeconds() * 1_000
        func quota(shiftedBy seconds: Int64) -> Quota {
            let starts = (-4...4).map { Int64(wall / 1_000) - 500_000 + $0 * 2_592_000 + seconds }
            return Quota(
                count: 3, window: .seconds(2_592_000), windows: Windows(.calendar(.init(starts)), count: 3, length: 2_592_000_000))
        }
        func ask(_ name: String, _ quota: Quota, at moment: UInt64) throws -> Bool {
            let call = RemoteCall(name: Array(name.utf8), fingerprint: 1, quota: quota)
            let reply = try server.run(LimitScript.arguments(deciding: [call]), at: moment * 1_000)
            return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)").isAllowed
        }
        let (here, there) = (quota(shiftedBy: 0), quota(shiftedBy: 3_600))
        let passed = try (0..<40).count { try ask("month", $0 % 2 == 0 ? here : there, at: wall) }
        #expect(passed == 3)
        // In memory too, where one process follows another.
        let words = LimitTable.words(forKeys: 64)
        let table = LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
        #expect((0..<40).count { table.admit(1, $0 % 2 == 0 ? here : there, now: wall * 1_000_000).isAllowed } == 3)
        // A clock that goes back over an edge, in a failover: what was counted in the window that comes is counted.
        for kind in [Windows.Kind.fixed, .sliding] {
            let windows = Quota(count: 3, window: .seconds(10), windows: Windows(kind, count: 3, length: 10_000))
            let edge = (wall / 10_000 + 3) * 10_000
            let moments = (0..<40).map { edge + ($0 % 2 == 0 ? 100 : 0) - ($0 % 2 == 0 ? 0 : 100) }
            #expect(try moments.count { try ask("\(kind)", windows, at: $0) } == 3)
            #expect(moments.count { table.admit(kind == .fixed ? 2 : 3, windows, now: $0 * 1_000_000).isAllowed } == 3)
            #expect(try !ask("\(kind)", windows, at: edge + 5_000))
        }
        // A year ahead: no window that anybody is in, and worth what was counted in it.
        let minute = Quota(count: 3, window: .seconds(60), windows: Windows(.fixed, count: 3, length: 60_000))
        let far = (wall + 31_536_000_000) / 60_000 * 60_000
        try server.set("far", "w \(far) 2 0")
        #expect(try (0..<4).map { _ in try ask("far", minute, at: wall) } == [true, false, false, false])
        #expect(try ask("far", minute, at: wall + 60_000))
    }

    /// Of requests that are under way those count that somebody still says to have: as a list of them does.
    @Test func countsWhatIsUnderWayAsAListDoes() throws {
        let server = try ScriptServer()
        var random = SystemRandomNumberGenerator()
        for trace in 0..<30 {
            let limit = UInt64.random(in: 1...6, using: &random)
            let windows = Windows.concurrent(limit)
            let quota = Quota(count: limit, window: .milliseconds(windows.length), windows: windows)
            let words = LimitTable.words(forKeys: 64)
            let table = LimitTable(
                try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
            var now = Clock.wallSeconds() * 1_000
            let name = Array("held:\(trace)".utf8)
            // The window in which each has said last that it is there.
            var model: [UInt64] = []
            func call(_ count: UInt64, _ floor: UInt64 = 0, of start: UInt64 = 0) throws -> GCRA.Decision {
                let call = RemoteCall(name: name, fingerprint: 1, quota: quota, count: count, floor: floor, floorStart: start)
                let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now * 1_000)
                return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
            }
            for _ in 0..<150 {
                now += UInt64.random(in: 0...3_000, using: &random)
                let window = now - now % windows.length
                model.removeAll { $0 + windows.length < window }
                switch Int.random(in: 0..<6, using: &random) {
                case 0 where !model.isEmpty:
                    let start = model.remove(at: Int.random(in: model.indices, using: &random))
                    let asked = RemoteCall(name: name, fingerprint: 1, quota: quota)
                    let refund = RemoteRefund(call: asked, charge: GCRA.Charge(end: start, refundedBefore: 0))
                    _ = try server.run(LimitScript.arguments([.refund([refund])]), at: now * 1_000)
                    table.release(1, quota, units: 1, from: start, now: now * 1_000_000)
                case 1, 2:
                    // Some say that they are still there; one that was forgotten is counted again, even where that is one too many.
                    guard let start = model.first else { continue }
                    let units = UInt64(model.count { $0 == start })
                    let said = try call(0, units, of: start)
                    model = model.map { $0 == start ? window : $0 }
                    #expect(table.renew(1, quota, units: units, from: start, now: now * 1_000_000) == window)
                    #expect(said.counts?.start == window && said.counts.map { $0.current + $0.previous } == UInt64(model.count))
                default:
                    let said = try call(1)
                    let here = table.admit(1, quota, now: now * 1_000_000)
                    #expect(said.isAllowed == (UInt64(model.count) < limit) && here.isAllowed == said.isAllowed)
                    #expect(said.remaining == here.remaining && said.counts == here.counts)
                    if said.isAllowed { model.append(window) }
                }
            }
        }
    }

    /// Lockouts in the server are those in memory, and a server that has lost them is told.
    @Test func locksOutAsMemoryDoes() throws {
        let server = try ScriptServer()
        var random = SystemRandomNumberGenerator()
        for trace in 0..<40 {
            let lockout = Lockout(
                failures: .random(in: 1...4, using: &random), window: 60, statuses: [401], resetStatuses: [200], first: 30,
                growth: .random(in: 1...3, using: &random), most: 300, forgetAfter: 600)
            let quota = Quota(count: lockout.failures, window: .seconds(60), lockout: lockout)
            let words = LimitTable.words(forKeys: 64)
            let table = LimitTable(
                try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
            var now = Clock.wallSeconds() * 1_000
            let name = Array("locked:\(trace)".utf8)
            var underWay = 0
            for _ in 0..<150 {
                now += 1_000 * UInt64.random(in: 0...(Int.random(in: 0..<12, using: &random) == 0 ? 700 : 8), using: &random)
                if underWay > 0, Bool.random(using: &random) {
                    underWay -= 1
                    let outcome = [Lockout.Outcome.passed, .failed, .failed, .failed, .failed, .reset].randomElement(using: &random)!
                    let call = RemoteCall(name: name, fingerprint: 1, quota: quota)
                    let refund = RemoteRefund(call: call, charge: GCRA.Charge(end: outcome.rawValue, refundedBefore: 0))
                    _ = try server.run(LimitScript.arguments([.refund([refund])]), at: now * 1_000)
                    table.end(1, quota, outcome, now: now * 1_000_000)
                } else {
                    let call = RemoteCall(name: name, fingerprint: 1, quota: quota)
                    let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now * 1_000)
                    let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                    let here = table.admit(1, quota, now: now * 1_000_000)
                    #expect(
                        said.isAllowed == here.isAllowed && said.remaining == here.remaining && said.retryAfter == here.retryAfter,
                        "\(said) \(here)")
                    if here.isAllowed { underWay += 1 }
                }
            }
            let known = table.known(1, quota, now: now * 1_000_000)
            guard known.amount > 0 else { continue }
            let told = RemoteCall(
                name: Array("lost:\(trace)".utf8), fingerprint: 1, quota: quota, floor: known.amount, floorStart: known.start)
            for _ in 0..<2 {
                let reply = try server.run(LimitScript.arguments(deciding: [told]), at: now * 1_000)
                let said = try #require(LimitScript.decisions(reply, of: [told])?.first, "\(reply)")
                #expect(!said.isAllowed && said.level == known.start && said.retryAfter == .seconds(known.amount))
            }
        }
        // A value that is none locks its key, and no longer than the first lock.
        let lockout = Lockout(
            failures: 3, window: 60, statuses: [401], resetStatuses: [], first: 30, growth: 2, most: 300, forgetAfter: 600)
        let quota = Quota(count: 3, window: .seconds(60), lockout: lockout)
        let now = Clock.wallSeconds() * 1_000_000
        for value in ["", "x", "l 1 2 3", "l 1 1 1 1 -1", "l 99999999999 1 3 0 0"] {
            try server.set("odd", value)
            let call = RemoteCall(name: Array("odd".utf8), fingerprint: 1, quota: quota)
            let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now)
            let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
            #expect(!said.isAllowed && said.retryAfter <= .seconds(300), "\(value) \(said)")
        }
    }

    /// As in memory: a small plan that is refused leaves what the large one owes, also where it is only looked at.
    @Test func twoPlansOfOneKeyAreOneCount() throws {
        let server = try ScriptServer()
        let large = Quota(count: 60, window: .seconds(60), burst: 500)
        let now = Clock.wallSeconds() * 1_000_000
        func ask(_ quota: Quota, _ count: UInt64 = 1, isDivisible: Bool = false, at moment: UInt64) throws -> GCRA.Decision {
            let call = RemoteCall(
                name: Array("k\(quota.burst)".utf8.prefix(1)), fingerprint: 1, quota: quota, count: count, isDivisible: isDivisible)
            let reply = try server.run(LimitScript.arguments(deciding: [call]), at: moment)
            return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
        }
        for small in [Quota(count: 6, window: .seconds(60)), Quota(count: 60, window: .seconds(60), burst: 6)] {
            #expect(try server.command(["FLUSHALL"]) == .status("OK"))
            #expect(try ask(large, 500, at: now).granted == 500)
            for round in 0..<10 {
                let moment = now + UInt64(round) * 1_000
                #expect(try !ask(small, at: moment).isAllowed)
                #expect(try ask(small, 0, at: moment).remaining == 0)
                #expect(try ask(large, 500, isDivisible: true, at: moment).granted == 0)
            }
            let wait = try ask(small, at: now).retryAfter.count / 1_000
            #expect((490_000_000...500_000_000).contains(wait), "\(wait)")
            #expect(try !ask(small, at: now + wait - 2_000).isAllowed && ask(small, at: now + wait + 2_000).isAllowed)
            #expect(try ask(large, 500, isDivisible: true, at: now + wait + 2_000).granted <= 494)
        }
    }

    /// Much that was taken back of a key over days does not use it up.
    @Test func manyRefundsDoNotSpoilAKey() throws {
        let server = try ScriptServer()
        let now = Clock.wallSeconds() * 1_000_000
        let quota = Quota(count: 10, window: .seconds(86_400))
        let call = RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota)
        for taken in ["3999999999999999.000", "4000000000000001.000", "8999999999999999.000"] {
            try server.set("k", "\(now + 8_640_000_000).000 8640000000.000 \(taken) 86400000000.000")
            for _ in 0..<3 {
                let reply = try server.run(LimitScript.arguments(deciding: [call]), at: now)
                let said = try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
                #expect(said.isAllowed && said.remaining == 8, "\(taken) \(said)")
                _ = try server.run(LimitScript.arguments([.refund([RemoteRefund(call: call, charge: said.charge)])]), at: now)
            }
        }
    }

    /// Where one limit refuses, the others are not charged, and nobody is told that they were.
    @Test(arguments: [false, true]) func refusalsChargeNothing(inWindows: Bool) throws {
        let server = try ScriptServer()
        let now = Clock.wallSeconds() * 1_000_000
        let windows = inWindows ? Windows(.fixed, count: 10, length: 3_600_000) : nil
        let wide = RemoteCall(
            name: Array("wide".utf8), fingerprint: 1, quota: Quota(count: 10, window: .seconds(3_600), windows: windows))
        let narrow = RemoteCall(name: Array("narrow".utf8), fingerprint: 2, quota: Quota(count: 1, window: .seconds(3_600)))
        func ask(_ calls: [RemoteCall]) throws -> [GCRA.Decision] {
            let reply = try server.run(LimitScript.arguments(deciding: calls), at: now)
            return try #require(LimitScript.decisions(reply, of: calls), "\(reply)")
        }
        for order in [[wide, narrow], [narrow, wide]] {
            #expect(try server.command(["FLUSHALL"]) == .status("OK"))
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
        let server = try ScriptServer()
        let wall = Clock.wallSeconds() * 1_000
        let windows = inWindows ? Windows(.fixed, count: 5, length: 3_600_000) : nil
        let quota = Quota(count: 5, window: .seconds(3_600), windows: windows)
        func ask(floor: UInt64, start: UInt64 = 0) throws -> GCRA.Decision {
            let call = RemoteCall(name: Array("k".utf8), fingerprint: 1, quota: quota, floor: floor, floorStart: start)
            let reply = try server.run(LimitScript.arguments(deciding: [call]), at: wall * 1_000)
            return try #require(LimitScript.decisions(reply, of: [call])?.first, "\(reply)")
        }
        // Of another window it is worth nothing.
        if let windows { #expect(try ask(floor: 5, start: windows.window(at: wall).start - 3_600_000).remaining == 4) }
        #expect(try !ask(floor: inWindows ? 5 : quota.gcra.tolerance, start: windows?.window(at: wall).start ?? 0).isAllowed)
        #expect(try !ask(floor: 0).isAllowed)
    }
}
