import Bytes
import ConfigFile
import System
import TestSupport
import Testing
import Time
import UpstreamHealth

/// The arithmetic of ejections, on a clock of the test's.
@Suite("Server health") struct ServerHealthTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func table() throws -> ServerTable {
        ServerTable(try SharedMemory(words: ServerTable.words), firstWord: 0, hash: SipHash(key0: 1, key1: 2))
    }

    private func rule(_ text: String) throws -> EjectionRule {
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "ejection { \(text) }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        return try #require(EjectionRule(directive, diagnostics), "\(diagnostics.messages)")
    }

    private func seconds(_ count: UInt64) -> Instant { start.adding(.seconds(count)) }

    @Test("A server is without requests after so many failures in a row, each time twice as long, up to a bound")
    func consecutive() throws {
        let health = try #require(try table().health(of: "a", in: "u", at: start))
        let rule = try rule("consecutive 3; rate off; for 10s; max 35s;")
        #expect(health.failed(at: start, by: rule) { true } == nil)
        #expect(health.failed(at: start, by: rule) { true } == nil)
        health.succeeded(at: start, by: rule)
        for _ in 0..<2 { #expect(health.failed(at: start, by: rule) { true } == nil) }
        #expect(health.failed(at: start, by: rule) { true } == .consecutive)
        #expect(health.state(at: seconds(9)) == .ejected(.consecutive))
        #expect(health.state(at: seconds(10)) == .probation)
        // One request tries; the others keep away until it has come to an end.
        #expect(health.beginTrial(at: seconds(10)) && !health.beginTrial(at: seconds(10)))
        #expect(health.failed(at: seconds(11), by: rule) { true } == .consecutive)
        #expect(health.state(at: seconds(30)) == .ejected(.consecutive) && health.state(at: seconds(31)) == .probation)
        #expect(health.failed(at: seconds(31), by: rule) { true } == .consecutive)
        // Not 40 s.
        #expect(health.state(at: seconds(65)) == .ejected(.consecutive) && health.state(at: seconds(66)) == .probation)
        #expect(health.beginTrial(at: seconds(66)))
        health.succeeded(at: seconds(66), by: rule)
        #expect(health.state(at: seconds(66)) == .up)
        // Well for longer than the longest ejection: it begins anew.
        health.succeeded(at: seconds(110), by: rule)
        #expect(health.ejections == 0)
    }

    @Test("A trial that never ends is not waited for, and one that was given up is another's at once")
    func trials() throws {
        let health = try #require(try table().health(of: "a", in: "u", at: start))
        let rule = try rule("consecutive 1; for 1s;")
        #expect(health.failed(at: start, by: rule) { true } == .consecutive)
        #expect(health.beginTrial(at: seconds(1)))
        #expect(!health.beginTrial(at: seconds(60)))
        #expect(health.beginTrial(at: seconds(62)))
        health.abandonTrial()
        #expect(health.beginTrial(at: seconds(62)))
    }

    @Test("The rate counts within its time, with enough requests, and 429 counts in it alone")
    func rate() throws {
        let rule = try rule("consecutive 0; rate 50% of 10 in 10s;")
        let health = try #require(try table().health(of: "a", in: "u", at: start))
        for _ in 0..<4 { #expect(health.failed(at: start, by: rule) { true } == nil) }
        for _ in 0..<5 { health.succeeded(at: start, by: rule) }
        // The tenth: five of ten.
        #expect(health.failed(at: start, by: rule, countsInRow: false) { true } == .rate)
        let other = try #require(try table().health(of: "b", in: "u", at: start))
        for _ in 0..<9 { #expect(other.failed(at: start, by: rule) { true } == nil) }
        // The time before is forgotten.
        #expect(other.failed(at: seconds(10), by: rule) { true } == nil)
        let consecutive = try self.rule("consecutive 2; rate off;")
        let third = try #require(try table().health(of: "c", in: "u", at: start))
        for _ in 0..<20 { #expect(third.failed(at: start, by: consecutive, countsInRow: false) { true } == nil) }
    }

    @Test("Of any group no more are without requests than the rule has it, whatever fails, and never the last")
    func atMost() throws {
        for (count, percent) in [(2, 50), (3, 50), (3, 34), (5, 40), (10, 30), (4, 100), (7, 10)] {
            let table = try table()
            let rule = try rule("consecutive 1; rate off; at_most \(percent)%;")
            let servers = try (0..<count).map { try #require(table.health(of: "\($0)", in: "u", at: start)) }
            var out = 0
            for second in 0..<200 as Range<UInt64> {
                let now = seconds(second)
                let health = servers[Int.random(in: 0..<count)]
                guard health.state(at: now) == .up else { continue }
                _ = health.failed(at: now, by: rule) {
                    let missing = servers.count { $0.state(at: now) != .up } + 1
                    return missing < count && missing * 100 <= count * percent
                }
                let present = servers.count { $0.state(at: now) != .up }
                #expect(present * 100 <= count * percent && present < count)
                out = max(out, present)
            }
            #expect(out == min(count - 1, count * percent / 100), "\(count) servers, \(percent) %")
        }
    }

    @Test("An entry is its server's, over all workers, and a full table gives none")
    func entries() throws {
        let table = try table()
        let first = try #require(table.health(of: "a", in: "u", at: start))
        first.set(.down, at: start)
        #expect(try #require(table.health(of: "a", in: "u", at: start)).check == .down)
        #expect(try #require(table.health(of: "a", in: "v", at: start)).check == .unknown)
        for number in 0..<ServerTable.entriesMax { _ = table.health(of: "\(number)", in: "w", at: start) }
        #expect(table.health(of: "one more", in: "w", at: start) == nil)
        // Entries that nobody has had use of for a day are free.
        let later = seconds(86_401)
        #expect(try #require(table.health(of: "one more", in: "w", at: later)).check == .unknown)
    }

    @Test("A server that comes up tells since when")
    func slowStart() throws {
        let health = try #require(try table().health(of: "a", in: "u", at: start))
        health.set(.down, at: start)
        #expect(health.state(at: start) == .down)
        health.set(.up, at: seconds(5))
        #expect(health.timeUp(at: seconds(8)) == .seconds(3))
        health.setDrained(true, at: seconds(9))
        #expect(health.state(at: seconds(9)) == .drained)
        health.setDrained(false, at: seconds(20))
        #expect(health.timeUp(at: seconds(21)) == .seconds(1))
    }

    @Test(
        "What cannot be meant is an error",
        arguments: ["rate 200% of 20 in 10s;", "rate 50%;", "for 1h; max 1m;", "at_most 50;", "at_most 0%;", "consecutive -1;", "bogus;"])
    func errors(text: String) throws {
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "ejection { \(text) }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        #expect(EjectionRule(directive, diagnostics) == nil && !diagnostics.isEmpty)
    }
}
