import Time
import Bytes
import Authorization
import ConfigFile
@testable import RateLimiting
import Routing
import System
import TestSupport
import Testing

private let second: UInt64 = 1_000_000_000

/// A store that replies when the test wants, and with what it wants.
private final class ScriptedStore: RemoteStore {
    var isAvailable = true
    private(set) var calls: [(keys: [RemoteCall], receiver: any RemoteDecisionReceiver)] = []
    private(set) var refunds: [RemoteRefund] = []
    /// Whether it may have lost its data.
    var isNew = false
    private(set) var owed: [any RemoteDecisionReceiver] = []

    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] { key }
    /// Which calls are decided together; nil for all.
    var parts: [[Int]]?
    /// Of the parts, those that are away, by the limit's name, with which a key begins.
    var awayKeys: Set<String> = []

    func forgetKeys() {}
    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { !isNew }
    func parts(of calls: [RemoteCall]) -> [[Int]]? { parts }
    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant { now }
    var timeout: Nanoseconds { .milliseconds(50) }
    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { ObjectIdentifier(self) }
    func isAvailable(for calls: [RemoteCall]) -> Bool {
        isAvailable && !calls.contains { call in awayKeys.contains { call.name.starts(with: $0.utf8) } }
    }
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) { self.calls.append((calls, receiver)) }
    func reset(_ call: RemoteCall) {}
    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool { false }
    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool { false }
    func refund(_ refunds: [RemoteRefund]) { self.refunds += refunds }

    /// Replies to the oldest call.
    func reply(at now: Instant, _ decisions: [GCRA.Decision]?) { calls.removeFirst().receiver.decided(decisions, at: now) }

    /// The oldest call has waited for too long; its reply comes later.
    func beLate(at now: Instant) {
        let receiver = calls.removeFirst().receiver
        owed.append(receiver)
        receiver.decided(nil, at: now)
    }

    func replyLate(at now: Instant, _ decisions: [GCRA.Decision]) { owed.removeFirst().decidedLate(decisions, at: now) }
}

/// A store that replies before the call has returned, as one does that finds its connection closed.
private final class ImmediateStore: RemoteStore {
    let now: Instant
    var reply: GCRA.Decision?
    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] { key }
    func forgetKeys() {}
    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { true }
    func parts(of calls: [RemoteCall]) -> [[Int]]? { nil }
    func isAvailable(for calls: [RemoteCall]) -> Bool { true }
    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant { now }
    var timeout: Nanoseconds { .milliseconds(50) }
    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { ObjectIdentifier(self) }
    init(_ now: Instant) { self.now = now }

    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) {
        receiver.decided(reply.map { reply in calls.map { _ in reply } }, at: now)
    }
    func reset(_ call: RemoteCall) {}
    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool { false }
    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool { false }
    func refund(_ refunds: [RemoteRefund]) {}
}

private final class Waiter: AdmissionWaiter {
    private(set) var times = 0
    func admissionDecided() { times += 1 }
}

/// The stage of the limits, with stores that a test plays.
@Suite struct RateLimiterTests {
    private let first = ScriptedStore()
    private let other = ScriptedStore()
    private let now = Instant(nanoseconds: 1_000 * second)
    private let context: RequestContext
    private let permitRule: PublicRule

    init() throws {
        context = RequestContext()
        context.begin(clientIP: [UInt8]("192.0.2.1".utf8), isHTTPS: true)
        let diagnostics = Diagnostics()
        let directives = Parser(files: MemoryFiles(["f": "public;"]), environment: [:], diagnostics: diagnostics).parse("f")
        permitRule = try #require(PublicRule(directives[0], of: RouteID(0), diagnostics))
    }

    private func limit(
        _ name: String, _ count: UInt64 = 2, in store: Limit.Store = .memory, failing: Limit.WhenStoreFails = .local, lease: UInt64 = 1,
        statuses: [Int] = []
    ) -> Limit {
        Limit(
            name: name, quota: Quota(count: count, window: .seconds(60)), key: [Template(parts: [.variable(.clientIP)])],
            store: store, whenStoreFails: failing, lease: lease, countedStatuses: statuses)
    }

    private func limiter(_ limits: Limit...) throws -> RateLimiter {
        let words = LimitMemory.words(forKeys: 64)
        let memory = LimitMemory(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
        return RateLimiter(limits: limits, memory: memory, stores: ["a": first, "b": other])
    }

    private func progress(_ waiter: Waiter) -> AdmissionProgress {
        let progress = AdmissionProgress()
        progress.waiter = waiter
        return progress
    }

    private func granted(_ count: UInt64 = 1, left: UInt64 = 1) -> GCRA.Decision {
        GCRA.Decision(isAllowed: true, granted: count, arrival: 7, remaining: left, resetAfter: .seconds(1), retryAfter: .zero)
    }

    private let refused = GCRA.Decision(isAllowed: false, arrival: 7, remaining: 0, resetAfter: .seconds(5), retryAfter: .seconds(3))

    private func begin(_ limiter: RateLimiter, _ limits: [Int], _ progress: AdmissionProgress, at moment: Instant? = nil) -> Bool {
        limiter.begin(Authorization.permit(permitRule), limits: limits.map { LimitID($0) }, in: context, at: moment ?? now, progress)
    }

    private func isAdmitted(_ progress: AdmissionProgress) throws(AdmissionError) -> Bool {
        guard let admission = try progress.takeAdmission() else { return false }
        return admission.route == RouteID(0)
    }

    @Test func withoutLimitsARequestIsAdmittedAtOnceAndOnce() throws {
        let (limiter, waiter) = (try limiter(), Waiter())
        let progress = progress(waiter)
        #expect(begin(limiter, [], progress))
        #expect(try isAdmitted(progress))
        #expect(try !isAdmitted(progress))
        #expect(waiter.times == 0)
    }

    @Test func whatALimitRefusesGivesBackWhatTheOthersCharged() throws {
        let limiter = try limiter(limit("wide", 100), limit("narrow", 1))
        let waiter = Waiter()
        for round in 0..<5 {
            let progress = progress(waiter)
            #expect(begin(limiter, [0, 1], progress))
            guard round > 0 else { continue }
            #expect(progress.error == .limitExceeded(limit: LimitID(1), retryAfter: .seconds(60)))
            // The wide one has counted the first request alone.
            #expect(progress.states.first?.remaining == 98)
        }
    }

    @Test func limitsInMemoryAreGivenBackWhereAStoreRefuses() throws {
        let (limiter, waiter) = (try limiter(limit("here"), limit("there", in: .redis("a"))), Waiter())
        let early = progress(waiter)
        #expect(!begin(limiter, [0, 1], early))
        first.reply(at: now, [refused])
        #expect(waiter.times == 1)
        #expect(early.error == .limitExceeded(limit: LimitID(1), retryAfter: .seconds(3)))
        #expect(early.states.map(\.limit.index) == [0, 1])
        // Both requests of the quota in memory are there again.
        for _ in 0..<2 {
            let next = progress(waiter)
            #expect(!begin(limiter, [0, 1], next))
            first.reply(at: now, [granted()])
            #expect(try isAdmitted(next))
        }
        #expect(first.refunds.isEmpty)
    }

    /// Of a limit of 2 in 60 s: so many of them are used.
    private func used(_ count: UInt64) -> GCRA.Decision {
        GCRA.Decision(
            isAllowed: true, arrival: 7, remaining: 2 - count, resetAfter: .seconds(30) * count, retryAfter: .zero)
    }

    @Test func whatAStoreHasSaidHoldsWhileItIsAway() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"))), Waiter())
        #expect(!begin(limiter, [0], progress(waiter)))
        first.reply(at: now, [used(1)])
        // One of two is left, here as there.
        first.isAvailable = false
        let left = progress(waiter)
        #expect(begin(limiter, [0], left))
        #expect(try isAdmitted(left))
        let last = progress(waiter)
        #expect(begin(limiter, [0], last))
        #expect(last.error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(30)))
        // A store that has lost its data learns of them all with the first question.
        first.isAvailable = true
        first.isNew = true
        #expect(!begin(limiter, [0], progress(waiter)))
        #expect(first.calls[0].keys[0].floor == 60 * second)
        first.reply(at: now, [used(2)])
        first.isNew = false
    }

    @Test func aStoreThatMayHaveLostItsDataIsToldWhatIsKnown() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"))), Waiter())
        for isNew in [false, true, false] {
            first.isNew = isNew
            #expect(!begin(limiter, [0], progress(waiter)))
            #expect(first.calls[0].keys[0].floor == (isNew ? 30 * second : 0))
            first.reply(at: now, [used(1)])
        }
    }

    @Test func aRefusalOfAStoreHoldsHereForAsLongAsItSays() throws {
        let limiter = try limiter(limit("there", in: .redis("a")), limit("counted", in: .redis("b"), statuses: [401]))
        let waiter = Waiter()
        let refusal = GCRA.Decision(isAllowed: false, arrival: 7, remaining: 0, resetAfter: .seconds(50), retryAfter: .seconds(20))
        #expect(!begin(limiter, [0], progress(waiter)))
        first.reply(at: now, [refusal])
        for _ in 0..<100 {
            let again = progress(waiter)
            #expect(begin(limiter, [0], again) && first.calls.isEmpty)
            #expect(again.error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(20)))
            #expect(again.states.first?.remaining == 0 && again.states.first?.nextAfter == .seconds(20))
        }
        // After a second one question finds out whether it still does; what the store says then counts, also where it is less than what is known here.
        #expect(!begin(limiter, [0], progress(waiter), at: now.adding(.seconds(1))))
        #expect(begin(limiter, [0], progress(waiter), at: now.adding(.seconds(1))))
        first.reply(at: now.adding(.seconds(1)), [used(1)])
        #expect(!begin(limiter, [0], progress(waiter), at: now.adding(.seconds(1))))
        // Where a response may give a charge back, the store is asked all the same.
        for _ in 0..<2 {
            #expect(!begin(limiter, [1], progress(waiter)))
            other.reply(at: now, [refusal])
        }
    }

    @Test func aGrantThatComesLateTakesThePlaceOfTheChargeHere() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"))), Waiter())
        let early = progress(waiter)
        #expect(!begin(limiter, [0], early))
        first.beLate(at: now)
        #expect(try isAdmitted(early))
        first.replyLate(at: now, [used(1)])
        #expect(first.refunds.isEmpty)
        // Counted once: one more is left, not none.
        first.isAvailable = false
        let next = progress(waiter)
        #expect(begin(limiter, [0], next))
        #expect(try isAdmitted(next))
        #expect(begin(limiter, [0], progress(waiter)))
    }

    /// A request with limits that are asked one after the other waits for a late server once. One that has lost its connection is no reason not to ask again.
    @Test(arguments: [UInt64(50), 10]) func aLateServerIsWaitedForOnce(milliseconds: UInt64) throws {
        let limiter = try limiter(limit("there", in: .redis("a")), limit("leased", in: .redis("a"), lease: 10))
        let waiter = Waiter()
        let asked = progress(waiter)
        #expect(!begin(limiter, [0, 1], asked))
        #expect(first.calls.count == 1)
        first.beLate(at: now.adding(.milliseconds(milliseconds)))
        #expect(first.calls.count == (milliseconds < 50 ? 1 : 0) && asked.isDecided == (milliseconds >= 50))
        if !asked.isDecided { first.reply(at: now, [granted()]) }
        #expect(try isAdmitted(asked))
    }

    @Test func aGrantThatComesLateForARefusedRequestIsGivenBack() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"), failing: .closed)), Waiter())
        let early = progress(waiter)
        #expect(!begin(limiter, [0], early))
        first.beLate(at: now)
        #expect(early.error?.isSame(as: .storeUnavailable(limit: LimitID(0), retryAfter: .zero)) == true)
        first.replyLate(at: now, [used(1)])
        #expect(first.refunds.count == 1)
        // A refusal that comes late is known from then on.
        #expect(!begin(limiter, [0], progress(waiter)))
        first.beLate(at: now)
        first.replyLate(
            at: now, [GCRA.Decision(isAllowed: false, arrival: 7, remaining: 0, resetAfter: .seconds(50), retryAfter: .seconds(20))])
        #expect(begin(limiter, [0], progress(waiter)) && first.refunds.count == 1)
    }

    @Test(arguments: [Limit.WhenStoreFails.local, .open, .last])
    func aLateGrantOfARequestThatDoesNotCountIsGivenBackOnce(failing: Limit.WhenStoreFails) throws {
        let limiter = try limiter(limit("sign_in", in: .redis("a"), failing: failing, statuses: [401]))
        let waiter = Waiter()
        for settlesFirst in [true, false] {
            let progress = progress(waiter)
            #expect(!begin(limiter, [0], progress))
            first.beLate(at: now)
            if settlesFirst { limiter.settle(progress, status: 200, at: now) }
            first.replyLate(at: now, [used(1)])
            if !settlesFirst { limiter.settle(progress, status: 200, at: now) }
        }
        #expect(first.refunds.count == 2)
        // One that counts stays, and one that another limit has refused does not.
        let counted = progress(waiter)
        #expect(!begin(limiter, [0], counted))
        first.beLate(at: now)
        limiter.settle(counted, status: 401, at: now)
        first.replyLate(at: now, [used(1)])
        #expect(first.refunds.count == 2)
    }

    /// Of an attempt that a store has charged late it is told how it ended.
    @Test(arguments: [Limit.WhenStoreFails.local, .open])
    func aLateAttemptIsToldHowItEnded(failing: Limit.WhenStoreFails) throws {
        let lockout = Lockout(
            failures: 3, window: 60, statuses: [401], resetStatuses: [], first: 60, growth: 2, most: 600, forgetAfter: 600)
        let attempts = Limit(
            name: "tries", quota: Quota(count: 3, window: .seconds(60), lockout: lockout), key: [Template(parts: [.variable(.clientIP)])],
            store: .redis("a"), whenStoreFails: failing, countedStatuses: [401])
        let (limiter, waiter) = (try limiter(attempts), Waiter())
        for settlesFirst in [true, false] {
            let progress = progress(waiter)
            #expect(!begin(limiter, [0], progress))
            first.beLate(at: now)
            if settlesFirst { limiter.settle(progress, status: 401, at: now) }
            first.replyLate(at: now, [lockout.allowed(charged: 1, since: 0, at: 0)])
            if !settlesFirst { limiter.settle(progress, status: 401, at: now) }
        }
        #expect(first.refunds.map(\.charge.end) == [Lockout.Outcome.failed.rawValue, Lockout.Outcome.failed.rawValue])
    }

    @Test func whoHadNothingLeftIsRefusedByLastAndOthersPass() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"), failing: .last)), Waiter())
        first.isAvailable = false
        for _ in 0..<5 {
            let free = progress(waiter)
            #expect(begin(limiter, [0], free))
            #expect(try isAdmitted(free))
        }
        first.isAvailable = true
        #expect(!begin(limiter, [0], progress(waiter)))
        first.reply(at: now, [used(2)])
        first.isAvailable = false
        let known = progress(waiter)
        #expect(begin(limiter, [0], known))
        #expect(known.error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(30)))
    }

    @Test func storesAreAskedOneAfterTheOtherAndTheFirstGetsItsChargeBack() throws {
        let limiter = try limiter(limit("y", in: .redis("b")), limit("x", in: .redis("a")), limit("z", in: .redis("a")))
        let waiter = Waiter()
        let progress = progress(waiter)
        #expect(!begin(limiter, [0, 1, 2], progress))
        #expect(first.calls.map(\.keys.count) == [2] && other.calls.isEmpty)
        first.reply(at: now, [granted(), granted()])
        #expect(waiter.times == 0 && other.calls.count == 1)
        other.reply(at: now, [refused])
        #expect(waiter.times == 1 && progress.error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(3)))
        #expect(first.refunds.count == 2 && other.refunds.isEmpty)
    }

    @Test(arguments: [
        (Limit.WhenStoreFails.open, 4, nil), (.local, 2, AdmissionError.limitExceeded(limit: LimitID(0), retryAfter: .seconds(30))),
        (.closed, 0, .storeUnavailable(limit: LimitID(0), retryAfter: .zero)),
    ])
    func aStoreThatIsAwayIsDoneWithout(policy: Limit.WhenStoreFails, admitted: Int, error: AdmissionError?) throws {
        // Known to be away, or found out by waiting, or with a reply that fits no call.
        for trouble in 0..<3 {
            let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"), failing: policy)), Waiter())
            first.isAvailable = trouble > 0
            var passed = 0
            var isRefused = false
            for _ in 0..<4 {
                let progress = progress(waiter)
                let isDecided = begin(limiter, [0], progress)
                // What was counted here in place of the store holds: where it is used up the store is asked once more, and then not for a second.
                #expect(isDecided == (trouble == 0 || policy == .local && isRefused))
                if trouble == 1, !isDecided { first.reply(at: now, nil) }
                if trouble == 2, !isDecided { first.reply(at: now, [granted(), granted()]) }
                if let found = progress.error {
                    #expect(try found.isSame(as: #require(error)))
                    isRefused = true
                } else {
                    passed += 1
                }
            }
            #expect(passed == admitted, "trouble \(trouble)")
            #expect(waiter.times == (trouble == 0 ? 0 : policy == .local ? 3 : 4))
        }
    }

    @Test func aReplyReachesNobodyOnceTheRequestHasEnded() throws {
        let (limiter, waiter) = (try limiter(limit("there", in: .redis("a"))), Waiter())
        let progress = progress(waiter)
        #expect(!begin(limiter, [0], progress))
        progress.reset()
        // The connection's next request waits for its own call.
        #expect(!begin(limiter, [0], progress))
        first.reply(at: now, [refused])
        #expect(waiter.times == 0 && progress.error == nil)
        first.reply(at: now, [granted()])
        #expect(waiter.times == 1)
        #expect(try isAdmitted(progress))
    }

    @Test func responsesThatDoNotCountAreGivenBack() throws {
        let limiter = try limiter(limit("here", statuses: [401]), limit("there", in: .redis("a"), statuses: [401]))
        let waiter = Waiter()
        for status in [200, 200, 200, 401, 401] {
            let progress = progress(waiter)
            #expect(!begin(limiter, [0, 1], progress))
            first.reply(at: now, [granted()])
            #expect(try isAdmitted(progress))
            limiter.settle(progress, status: status, at: now)
        }
        #expect(first.refunds.count == 3)
        let last = progress(waiter)
        #expect(begin(limiter, [0, 1], last))
        #expect(last.error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(30)))
    }

    @Test func thoseWhoWaitForALeaseShareIt() throws {
        let (limiter, waiter) = (try limiter(limit("there", 100, in: .redis("a"), lease: 10)), Waiter())
        let waiting = (0..<3).map { _ in progress(waiter) }
        for progress in waiting { #expect(!begin(limiter, [0], progress)) }
        // One call for all three; for one request, since the key was not in use.
        #expect(first.calls.map { $0.keys.map(\.count) } == [[1]])
        first.reply(at: now, [granted(1, left: 99)])
        #expect(try isAdmitted(waiting[0]))
        // The lease was for one. The second asks again, for those who wait as well.
        #expect(first.calls.map { $0.keys.map(\.count) } == [[2]])
        first.reply(at: now, [granted(2, left: 97)])
        #expect(try isAdmitted(waiting[1]))
        #expect(try isAdmitted(waiting[2]))
        #expect(waiter.times == 3 && first.calls.isEmpty)
        #expect(waiting[2].states.map(\.remaining) == [97])
    }

    @Test func aLeaseThatIsRefusedRefusesAllWhoWait() throws {
        let (limiter, waiter) = (try limiter(limit("there", 100, in: .redis("a"), lease: 10)), Waiter())
        let waiting = (0..<3).map { _ in progress(waiter) }
        for progress in waiting { #expect(!begin(limiter, [0], progress)) }
        waiting[1].reset()
        first.reply(at: now, [refused])
        #expect(waiter.times == 2 && first.calls.isEmpty)
        #expect(waiting[0].error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(3)))
        #expect(waiting[2].error == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(3)))
    }

    @Test func whatIsGivenBackOfALeaseIsSpentBeforeTheStoreIsAsked() throws {
        let (limiter, waiter) = (try limiter(limit("there", 100, in: .redis("a"), lease: 10, statuses: [401])), Waiter())
        let progress = progress(waiter)
        #expect(!begin(limiter, [0], progress))
        first.reply(at: now, [granted()])
        #expect(try isAdmitted(progress))
        limiter.settle(progress, status: 200, at: now)
        progress.reset()
        #expect(begin(limiter, [0], progress))
        #expect(try isAdmitted(progress))
        #expect(first.calls.isEmpty && first.refunds.isEmpty)
    }

    @Test func aReplyWithinTheCallIsAsGoodAsALaterOne() throws {
        let words = LimitMemory.words(forKeys: 64)
        let memory = LimitMemory(try SharedMemory(words: words), firstWord: 0, words: words, hash: SipHash(key0: 1, key1: 2))
        let store = ImmediateStore(now)
        for lease: UInt64 in [1, 10] {
            let limiter = RateLimiter(
                limits: [limit("here"), limit("there", 100, in: .redis("c"), failing: .closed, lease: lease)], memory: memory,
                stores: ["c": store])
            let waiter = Waiter()
            func outcome(_ reply: GCRA.Decision?) throws -> AdmissionError? {
                store.reply = reply
                let (progress, before) = (progress(waiter), waiter.times)
                #expect(begin(limiter, [0, 1], progress))
                #expect(waiter.times == before + 1)
                guard let error = progress.error else {
                    #expect(try isAdmitted(progress))
                    return nil
                }
                return error
            }
            // What is refused charges nothing, so that the quota in memory, of two, is never used up.
            for _ in 0..<3 {
                #expect(try outcome(refused) == .limitExceeded(limit: LimitID(1), retryAfter: .seconds(3)))
                #expect(try outcome(nil)?.isSame(as: .storeUnavailable(limit: LimitID(1), retryAfter: .zero)) == true)
            }
            if lease == 1 { #expect(try outcome(granted()) == nil) }
        }
    }

    /// What has worn off meanwhile is not given back.
    @Test func aLateRefundIsWorthWhatIsLeft() throws {
        let (limiter, waiter) = (try limiter(limit("here", 2, statuses: [401])), Waiter())
        var (open, at) = (progress(waiter), now)
        func begin(_ progress: AdmissionProgress) -> AdmissionError? {
            let isDecided = limiter.begin(Authorization.permit(permitRule), limits: [LimitID(0)], in: context, at: at, progress)
            #expect(isDecided)
            return progress.error
        }
        #expect(begin(open) == nil)
        // Both requests of a minute: the first has worn off after 30 s, the second after 60.
        let second = progress(waiter)
        #expect(begin(second) == nil)
        at = now.adding(.seconds(40))
        limiter.settle(open, status: 200, at: at)
        #expect(begin(progress(waiter)) == nil)
        #expect(begin(progress(waiter)) == .limitExceeded(limit: LimitID(0), retryAfter: .seconds(20)))
        limiter.settle(second, status: 200, at: at)
        open = progress(waiter)
        #expect(begin(open) == nil)
    }
}

extension AdmissionError {
    /// How long to wait for a store is partly chance: from one second to two where it is tried again at once.
    fileprivate func isSame(as other: AdmissionError) -> Bool {
        guard case .storeUnavailable(let limit, let wait) = self else { return self == other }
        return other == .storeUnavailable(limit: limit, retryAfter: .zero) && wait >= .seconds(1) && wait < .seconds(2)
    }
}
