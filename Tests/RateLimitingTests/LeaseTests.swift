import Bytes
@testable import RateLimiting
import System
import Testing
import Time

private let second: UInt64 = 1_000_000_000

/// Leases in memory that the workers of a host share.
@Suite struct LeaseTableTests {
    private let quota = Quota(count: 100, window: .seconds(100))
    private let table: LeaseTable

    init() throws { table = LeaseTable(try SharedMemory(words: LeaseTable.words), firstWord: 0) }

    private func granted(_ count: UInt64) -> GCRA.Decision {
        GCRA.Decision(isAllowed: true, granted: count, arrival: 0, remaining: 7, resetAfter: .seconds(30), retryAfter: .zero)
    }

    private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: (1_000 + seconds) * second) }

    @discardableResult private func keep(_ count: UInt64, size: UInt64? = nil, for key: UInt64 = 5, at now: Instant) -> UInt64? {
        table.keep(count, size: size ?? count, granted(count), of: quota, for: key, at: now)
    }

    private func spendAll(_ key: UInt64 = 5, at now: Instant) -> Int {
        var spent = 0
        while table.spend(key, at: now) != nil { spent += 1 }
        return spent
    }

    @Test func spendsWhatWasGrantedAndNoMore() {
        #expect(table.spend(5, at: at(0)) == nil)
        keep(3, at: at(0))
        #expect((0..<4).map { _ in table.spend(5, at: at(1))?.left } == [2, 1, 0, nil])
        #expect(table.spend(6, at: at(1)) == nil)
        #expect(table.giveBack(5, of: at(3), most: 3, at: at(1)))
        let (again, last) = (table.spend(5, at: at(1)), table.spend(5, at: at(1)))
        #expect(again?.leftInStore == 7 && last == nil)
    }

    @Test func givesUpWhatIsNotSpentInTime() {
        // Ten requests grow back in ten seconds.
        keep(10, at: at(0))
        #expect(table.spend(5, at: at(9)) != nil && table.spend(5, at: at(10)) == nil)
        #expect(!table.giveBack(5, of: at(10), most: 10, at: at(10)) && table.end(of: 5, at: at(10)) == nil)
        keep(2, at: at(11))
        #expect(spendAll(at: at(11)) == 2)
    }

    /// Otherwise a key that is used now and then, on many hosts, would lose most of its quota in leases that nobody spends.
    @Test func doublesALeaseOnlyWhenTheLastWasSpentInTime() throws {
        var sizes: [UInt64] = []
        for _ in 0..<5 {
            let claim = try #require(table.claim(5, most: 10, at: at(1)))
            sizes.append(claim.size)
            keep(claim.size, at: at(1))
            table.release(claim, of: 5)
            _ = spendAll(at: at(1))
        }
        #expect(sizes == [1, 2, 4, 8, 10])
        // Ten requests grow back in ten seconds: later it begins again.
        let inTime = try #require(table.claim(5, most: 10, at: at(10)))
        table.release(inTime, of: 5)
        let late = try #require(table.claim(5, most: 10, at: at(11)))
        #expect(inTime.size == 10 && late.size == 1)
    }

    /// Of the workers of a host one asks; one that has died in that keeps the others from it for a second.
    @Test func oneWorkerAsksForTheHost() throws {
        let claim = try #require(table.claim(5, most: 10, at: at(0)))
        #expect(table.claim(5, most: 10, at: at(0)) == nil && table.claim(5, most: 10, at: at(1)) == nil)
        #expect(table.claim(6, most: 10, at: at(0)) != nil)
        table.release(claim, of: 5)
        let second = try #require(table.claim(5, most: 10, at: at(1)))
        let third = table.claim(5, most: 10, at: at(3))
        #expect(third != nil)
        // Who is late does not end another one's.
        table.release(second, of: 5)
        #expect(table.claim(5, most: 10, at: at(3)) == nil)
    }

    /// Two that were asked for at once, because one was late: together no larger than one may be.
    @Test func aSecondLeaseAddsToTheFirstUpToItsBound() {
        keep(4, size: 6, at: at(0))
        keep(4, size: 6, at: at(0))
        #expect(spendAll(at: at(0)) == 6)
    }

    @Test func aRefundMakesNoLeaseLargerThanItsBound() {
        keep(2, at: at(0))
        #expect(table.giveBack(5, of: at(2), most: 3, at: at(0)))
        #expect(!table.giveBack(5, of: at(2), most: 3, at: at(0)))
        // To another lease it does not belong.
        keep(2, at: at(3))
        #expect(!table.giveBack(5, of: at(2), most: 9, at: at(3)))
    }

    /// Who took a lease may give back what is left of it, and nothing of one that came after.
    @Test func onlyAnOwnLeaseIsTakenBack() throws {
        let first = try #require(keep(5, at: at(0)))
        #expect(table.spend(5, at: at(0)) != nil)
        #expect(table.takeAll(5, number: first, at: at(0)) == 4)
        #expect(table.takeAll(5, number: first, at: at(0)) == 0 && table.spend(5, at: at(0)) == nil)
        let second = try #require(keep(5, at: at(0)))
        #expect(table.takeAll(5, number: first, at: at(0)) == 0 && table.takeAll(5, number: second, at: at(9)) == 0)
        #expect(spendAll(at: at(0)) == 5)
    }

    @Test func ofMoreKeysThanItHoldsThoseWithLeastLeftGiveWay() {
        // All of one set.
        let keys = (1...6).map { UInt64($0 * 4_096) }
        for (index, key) in keys.enumerated() { keep(UInt64(10 + index), size: 20, for: key, at: at(0)) }
        let held = keys.filter { table.spend($0, at: at(1)) != nil }
        #expect(held.count == 4 && held.contains(keys[5]) && !held.contains(keys[0]))
    }

    /// Many spend, give back and take leases of few places at once: never is more spent than was granted.
    @Test func threadsNeverSpendMoreThanWasGranted() async {
        let shared = Shared(table)
        let quota = quota
        let sums = await withTaskGroup(of: (spent: UInt64, kept: UInt64).self) { group in
            for thread in 0..<4 {
                group.addTask {
                    var (spent, kept): (UInt64, UInt64) = (0, 0)
                    for turn in 0..<20_000 {
                        // Six keys for four places.
                        let key = UInt64(1 + (turn + thread) % 6) * 4_096
                        let now = Instant(nanoseconds: 1_000 * second + UInt64(turn))
                        if shared.table.spend(key, at: now) != nil {
                            spent += 1
                            let isGivenBack = turn % 7 == 0
                            if isGivenBack, let end = shared.table.end(of: key, at: now),
                                shared.table.giveBack(key, of: end, most: 8, at: now)
                            {
                                spent -= 1
                            }
                        } else if let claim = shared.table.claim(key, most: 8, at: now) {
                            let grant = GCRA.Decision(
                                isAllowed: true, granted: claim.size, arrival: 0, remaining: 7, resetAfter: .seconds(30), retryAfter: .zero)
                            if shared.table.keep(claim.size, size: claim.size, grant, of: quota, for: key, at: now) != nil {
                                kept += claim.size
                            }
                            shared.table.release(claim, of: key)
                        }
                    }
                    return (spent, kept)
                }
            }
            return await group.reduce((UInt64(0), UInt64(0))) { ($0.0 + $1.spent, $0.1 + $1.kept) }
        }
        #expect(sums.0 > 10_000 && sums.0 <= sums.1, "\(sums)")
    }

    private struct Shared: @unchecked Sendable {
        let table: LeaseTable
        init(_ table: LeaseTable) { self.table = table }
    }
}

/// For how long a host refuses without asking.
@Suite struct KnownRefusalsTests {
    @Test func oneOfAHostAsksEachSecond() throws {
        let memory = try SharedMemory(words: KnownRefusals.words)
        let (first, second) = (KnownRefusals(memory, firstWord: 0), KnownRefusals(memory, firstWord: 0))
        func at(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
        let (key, other) = (UInt64(0xABCD_0000_0007), UInt64(0x1234_0000_0007))
        first.confirm(key, at: at(5_000))
        #expect(first.holds(key, at: at(5_000)) && second.holds(key, at: at(5_999)))
        // One asks, and nobody else meanwhile.
        #expect(!second.holds(key, at: at(6_000)) && first.holds(key, at: at(6_000)))
        // Two keys of one place ask more often, and never take one for the other.
        #expect(!first.holds(other, at: at(6_001)) && !first.holds(key, at: at(6_001)))
        // A moment before the last one: another worker's turn began earlier.
        second.confirm(key, at: at(7_000))
        #expect(first.holds(key, at: at(6_999)))
    }
}

/// How many hosts share a store.
@Suite struct HostMembersTests {
    @Test func afterAnOutageTheNumberMayOnlyRiseForAWhile() throws {
        let memory = try SharedMemory(words: HostMembers.words)
        let members = HostMembers(memory, firstWord: 0, hash: SipHash(key0: 1, key1: 2))
        func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: (1_000 + seconds) * second) }
        #expect(members.count(of: "main") == 0)
        for (moment, count) in [(0, 1), (5, 3), (10, 4)] as [(UInt64, UInt64)] { members.heard(count, of: "main", at: at(moment)) }
        #expect(members.count(of: "main") == 4 && members.count(of: "other") == 0)
        for moment in stride(from: UInt64(15), to: 40, by: 5) { members.heard(4, of: "main", at: at(moment)) }
        // One has left.
        members.heard(3, of: "main", at: at(40))
        #expect(members.count(of: "main") == 3)
        // Away for a minute: the first that are back do not take all.
        for (moment, count) in [(100, 1), (105, 2), (110, 2), (115, 2)] as [(UInt64, UInt64)] {
            members.heard(count, of: "main", at: at(moment))
            #expect(members.count(of: "main") == 3)
        }
        members.heard(2, of: "main", at: at(121))
        #expect(members.count(of: "main") == 2)
        // One worker of the host asks every five seconds, and at once where it could not.
        #expect(members.isDue("main", at: at(0)) && !members.isDue("main", at: at(4)) && members.isDue("main", at: at(5)))
        members.notAsked("main")
        #expect(members.isDue("main", at: at(6)) && members.name.count == 16)
    }
}
