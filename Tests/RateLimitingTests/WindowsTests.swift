import Bytes
import Foundation
import System
import TestSupport
import Testing
import Time

@testable import RateLimiting

private let second: UInt64 = 1_000_000_000

/// A list of all requests that were let through, and what the words of docs/limits.md say of it.
private struct PlainModel {
    let windows: Windows
    var passed: [UInt64] = []

    func count(from start: UInt64, to end: UInt64) -> Int { passed.count { start <= $0 && $0 < end } }

    func allows(at wall: UInt64) -> Bool {
        let (start, end) = windows.window(at: wall)
        let present = Double(count(from: start, to: end))
        guard windows.kind == .sliding else { return present + 1 <= Double(windows.count) }
        let before = Double(count(from: start - windows.length, to: start)) * Double(end - wall) / Double(windows.length)
        return present + before + 1 <= Double(windows.count) + 1e-9
    }
}

@Suite struct WindowsTests {
    /// March 2026 in Berlin: summer time begins on the 29th.
    private static let months = Windows.Periods(
        LocalCalendar.starts(of: .month, first: 1, zone: "Europe/Berlin", around: 1_772_400_000, count: 24))

    private static let kinds: [(Windows.Kind, UInt64)] = [(.fixed, 10_000), (.sliding, 10_000), (.calendar(months), 86_400_000)]

    private func table() throws -> LimitTable {
        let words = LimitTable.words(forKeys: 64)
        // The wall clock is the monotonic one, a number of years later.
        return LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
    }

    /// The table allows what the plain model allows, request for request, with several keys that come and go; and what it says of the wait is exact.
    @Test(arguments: 0..<3) func decidesAsThePlainModel(kind: Int) throws {
        var random = SystemRandomNumberGenerator()
        let (kind, length) = Self.kinds[kind]
        for _ in 0..<60 {
            let windows = Windows(kind, count: .random(in: 1...12, using: &random), length: length)
            let quota = Quota(count: windows.count, window: .milliseconds(length), windows: windows)
            let table = try table()
            var models = (0..<3).map { _ in PlainModel(windows: windows) }
            var now: UInt64 = 1_772_400_000_000
            for _ in 0..<300 {
                now += UInt64.random(in: 0...length / (Bool.random(using: &random) ? 4 : 400), using: &random)
                let key = Int.random(in: 0..<3, using: &random)
                let expected = models[key].allows(at: now)
                let decision = table.admit(UInt64(key + 1), quota, now: now * 1_000_000)
                #expect(decision.isAllowed == expected, "\(windows) at \(now)")
                if decision.isAllowed {
                    models[key].passed.append(now)
                    // So many more may come at once, and no more.
                    var trial = models[key]
                    for _ in 0..<decision.remaining {
                        #expect(trial.allows(at: now))
                        trial.passed.append(now)
                    }
                    #expect(!trial.allows(at: now))
                } else {
                    // Exactly then, and not a millisecond before.
                    let wait = decision.retryAfter.milliseconds
                    #expect(models[key].allows(at: now + wait), "\(windows) at \(now) after \(wait)")
                    #expect(wait == 1 || !models[key].allows(at: now + wait - 1), "\(windows) at \(now) after \(wait)")
                    #expect(decision.nextAfter == decision.retryAfter)
                }
            }
        }
    }

    /// What is taken back of the present window may be used again; of one that is over, it is worth nothing.
    @Test func refundsAreOfTheirWindow() throws {
        let windows = Windows(.fixed, count: 2, length: 10_000)
        let quota = Quota(count: 2, window: .seconds(10), windows: windows)
        let table = try table()
        let now: UInt64 = 1_772_400_000_000 * 1_000_000
        let charge = table.admit(1, quota, now: now).charge
        _ = table.admit(1, quota, now: now)
        #expect(!table.admit(1, quota, now: now).isAllowed)
        table.refund(1, quota, charge, now: now)
        #expect(table.admit(1, quota, now: now).isAllowed)
        let later = now + 10 * second
        let passed = (0..<2).map { _ in table.admit(1, quota, now: later).isAllowed }
        #expect(passed == [true, true])
        table.refund(1, quota, charge, now: later)
        #expect(!table.admit(1, quota, now: later).isAllowed)
    }

    /// A limit that changes to windows or back begins again; nobody is refused for what the words of the other algorithm say.
    @Test func anotherAlgorithmBeginsAgain() throws {
        let table = try table()
        let now: UInt64 = 1_772_400_000_000 * 1_000_000
        let plain = Quota(count: 2, window: .seconds(3_600))
        let windows = Quota(count: 3, window: .seconds(10), windows: Windows(.fixed, count: 3, length: 10_000))
        for _ in 0..<3 { _ = table.admit(1, plain, now: now) }
        #expect(table.admit(1, windows, now: now).remaining == 2)
        for _ in 0..<3 { _ = table.admit(1, windows, now: now) }
        #expect(table.admit(1, plain, now: now).remaining == 1)
    }

    /// What a store has said holds here too, and its windows by its clock are those of this host.
    @Test func learnsWhatAStoreHasCounted() throws {
        let table = try table()
        let wall: UInt64 = 1_772_400_000_000
        let windows = Windows(.sliding, count: 10, length: 10_000)
        let quota = Quota(count: 10, window: .seconds(10), windows: windows)
        let start = windows.window(at: wall).start
        var decision = windows.decision(
            Windows.Counts(start: start, current: 8, previous: 4), at: start, granted: 1, isAllowed: true)
        #expect(table.refusal(1, quota, now: start * 1_000_000) == nil)
        table.learn(1, quota, decision, standIns: 0, now: start * 1_000_000)
        #expect(table.known(1, quota, now: start * 1_000_000).amount == 8)
        #expect(table.refusal(1, quota, now: start * 1_000_000)?.retryAfter == .milliseconds(7_500))
        // Three quarters of the window before have passed out of it: one request is left.
        #expect(table.refusal(1, quota, now: (start + 7_500) * 1_000_000) == nil)
        // In the next window they are the ones before.
        #expect(table.known(1, quota, now: (start + 10_000) * 1_000_000).amount == 0)
        #expect(table.refusal(1, quota, now: (start + 10_000) * 1_000_000) == nil)
        // A late word of the window before adds nothing to this one.
        decision.counts = Windows.Counts(start: start, current: 10)
        table.learn(2, quota, decision, standIns: 0, now: (start + 25_000) * 1_000_000)
        #expect(table.refusal(2, quota, now: (start + 25_000) * 1_000_000) == nil)
    }

    /// The window before may be what holds a key back.
    @Test func aKeyThatThePastHoldsBackGivesWayToNobody() throws {
        let words = LimitTable.words(forKeys: 8)
        let table = LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
        let quota = Quota(count: 100, window: .seconds(3_600), windows: Windows(.sliding, count: 100, length: 3_600_000))
        let edge: UInt64 = 1_772_400_000_000 * 1_000_000 / (3_600 * second) * (3_600 * second)
        for _ in 0..<100 { _ = table.admit(1, quota, now: edge - second) }
        let passed = (0..<3).count { _ in table.admit(1, quota, now: edge + 60 * second).isAllowed }
        #expect(passed == 1)
        for key in 2..<5_000 { for _ in 0..<3 { _ = table.admit(UInt64(key), quota, now: edge + 61 * second) } }
        #expect(!table.admit(1, quota, now: edge + 62 * second).isAllowed)
    }

    /// A store's clock is ahead of this host's, and there a window has begun that has not here: what it says holds.
    @Test func aStoreWhoseWindowHasBegunIsBelieved() throws {
        let table = try table()
        let windows = Windows(.fixed, count: 5, length: 10_000)
        let quota = Quota(count: 5, window: .seconds(10), windows: windows)
        let wall: UInt64 = 1_772_400_009_000
        for _ in 0..<5 { _ = table.admit(1, quota, now: wall * 1_000_000) }
        #expect(table.refusal(1, quota, now: wall * 1_000_000) != nil)
        let said = windows.decision(Windows.Counts(start: wall + 1_000, current: 1), at: wall + 1_500, granted: 1, isAllowed: true)
        table.learn(1, quota, said, standIns: 0, now: wall * 1_000_000)
        #expect(table.refusal(1, quota, now: wall * 1_000_000) == nil)
        #expect(table.admit(1, quota, now: (wall + 2_000) * 1_000_000).remaining == 3)
    }

    @Test func aKeyThatIsUsedUpGivesWayToNobody() throws {
        let words = LimitTable.words(forKeys: 8)
        let table = LimitTable(
            try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2), wall: { $0 / 1_000_000 })
        let quota = Quota(count: 1, window: .seconds(3_600), windows: Windows(.fixed, count: 1, length: 3_600_000))
        let fresh = Quota(count: 1_000, window: .seconds(3_600), windows: Windows(.sliding, count: 1_000, length: 3_600_000))
        let now: UInt64 = 1_772_400_100_000 * 1_000_000
        #expect(table.admit(1, quota, now: now).isAllowed)
        for key in 2..<5_000 { _ = table.admit(UInt64(key), fresh, now: now) }
        #expect(!table.admit(1, quota, now: now).isAllowed)
    }
}

@Suite struct LocalCalendarTests {
    private func moment(_ text: String) -> Int64 { Int64((try? Date(text, strategy: .iso8601))?.timeIntervalSince1970 ?? 0) }

    private func starts(_ unit: LocalCalendar.Unit, _ first: Int, _ zone: String, _ around: String, _ count: Int) -> [String] {
        LocalCalendar.starts(of: unit, first: first, zone: zone, around: moment(around), count: count).map {
            Date(timeIntervalSince1970: TimeInterval($0)).formatted(.iso8601)
        }
    }

    @Test func monthsBeginByTheClockThere() {
        // With summer time the offset is another one.
        #expect(
            starts(.month, 1, "Europe/Berlin", "2026-03-29T12:00:00Z", 4) == [
                "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z",
            ])
        // The 31st is the last day of shorter months; of a leap year's February the 29th.
        #expect(
            starts(.month, 31, "UTC", "2028-02-10T00:00:00Z", 5) == [
                "2027-12-31T00:00:00Z", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z", "2028-04-30T00:00:00Z",
            ])
        #expect(
            starts(.month, 15, "America/New_York", "2026-11-14T23:00:00Z", 3) == [
                "2026-09-15T04:00:00Z", "2026-10-15T04:00:00Z", "2026-11-15T05:00:00Z",
            ])
    }

    @Test func daysWeeksAndYears() {
        // A day of 23 hours, and one of 25.
        #expect(
            starts(.day, 1, "Europe/Berlin", "2026-03-29T12:00:00Z", 3) == [
                "2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z",
            ])
        // Midnight is left out where summer time begins then.
        #expect(starts(.day, 1, "America/Santiago", "2026-09-06T12:00:00Z", 2).last == "2026-09-06T04:00:00Z")
        #expect(
            starts(.week, 1, "UTC", "2026-11-27T10:00:00Z", 3) == ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"])
        #expect(starts(.week, 7, "UTC", "2026-11-29T00:00:00Z", 2) == ["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"])
        #expect(starts(.year, 1, "Asia/Tokyo", "2026-12-31T16:00:00Z", 2) == ["2025-12-31T15:00:00Z", "2026-12-31T15:00:00Z"])
    }

    /// In order, without gaps, and each moment in its own period, also before the first and behind the last that is known.
    @Test func everyMomentHasItsPeriod() {
        let periods = Windows.Periods(LocalCalendar.starts(of: .month, first: 31, zone: "Europe/Berlin", around: 1_772_400_000, count: 600))
        #expect(periods.starts.count == 600)
        for pair in zip(periods.starts, periods.starts.dropFirst()) {
            #expect(pair.1 - pair.0 >= 27 * 86_400 && pair.1 - pair.0 <= 32 * 86_400)
        }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let moment = Int64.random(in: 1_600_000_000...6_000_000_000, using: &random)
            let number = periods.number(at: moment)
            #expect(periods.start(number) <= moment && moment < periods.start(number + 1), "\(moment)")
        }
    }

    /// The file's changes, and behind them the rule at its end, are what the C library makes of them.
    @Test(arguments: [
        "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca",
        "Europe/Dublin",
    ])
    func daysAreThoseOfTheSystem(zone: String) throws {
        // Noon of the year 2090, far behind the changes that the file names.
        for around: Int64 in [1_772_400_000, 3_792_000_000] {
            let starts = LocalCalendar.starts(of: .day, first: 1, zone: zone, around: around, count: 400)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/date")
            process.arguments = ["-f", "-", "+%H:%M"]
            process.environment = ["TZ": zone]
            let (input, output) = (Pipe(), Pipe())
            process.standardInput = input
            process.standardOutput = output
            try process.run()
            input.fileHandleForWriting.write(Data(starts.map { "@\($0)\n" }.joined().utf8))
            try input.fileHandleForWriting.close()
            let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
            // All begin at midnight, but where the clock is put forward just then.
            #expect(said.count == 400 && said.count { $0 != "00:00" } <= 2, "\(said.filter { $0 != "00:00" })")
            #expect(said.allSatisfy { $0 == "00:00" || $0 == "01:00" })
        }
    }

    @Test func zonesThatThereAreNot() {
        #expect(LocalCalendar.hasZone("Europe/Berlin") && LocalCalendar.hasZone("UTC"))
        for name in ["Europe/Nowhere", "../../etc/passwd", "/etc/passwd", ""] {
            #expect(!LocalCalendar.hasZone(name) || name.isEmpty, "\(name)")
        }
    }
}
