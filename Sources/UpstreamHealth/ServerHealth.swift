import System
package import Time

/// How one server is, as all processes of the host see it.
///
/// Words: the key; when a process last had use of the entry; what checks say; until when it is given no requests, and why; failures in a row; how
/// often that was; the time that is looked at, and in it requests and failures; whether an operator has taken it out; since when it is
/// up; who tries it after an ejection, and since when. Moments are of the host's monotonic clock.
package struct ServerHealth {
    package static let words = 16

    /// What checks have found.
    package enum Check: UInt64, Sendable {
        /// Nobody has looked, or the server is not looked at.
        case unknown
        case up, down
    }

    /// Why a server is given no requests for a while.
    package enum Cause: UInt64, CaseIterable, Sendable {
        case consecutive = 1, rate

        package var word: String { self == .consecutive ? "consecutive" : "rate" }
    }

    package enum State: Sendable, Equatable {
        case up
        /// Up to a moment it is given no requests.
        case ejected(Cause)
        /// The time is over: one request finds out whether it is well.
        case probation
        case down
        /// An operator has taken it out.
        case drained

        package var word: String {
            switch self {
            case .up: "up"
            case .ejected: "ejected"
            case .probation: "probation"
            case .down: "down"
            case .drained: "drained"
            }
        }

        package static let words = ["up", "ejected", "probation", "down", "drained"]
    }

    private let memory: SharedMemory
    private let firstWord: Int

    init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    private enum Word: Int {
        case key, seenAt, check, ejectedUntil, cause, failures, ejections, windowStart, windowRequests, windowFailures, isDrained, upSince
        case triedAt
    }

    private func load(_ word: Word) -> UInt64 { memory.load(firstWord + word.rawValue) }
    private func store(_ word: Word, _ value: UInt64) { memory.store(firstWord + word.rawValue, value) }
    private func trade(_ word: Word, _ expected: UInt64, _ desired: UInt64) -> Bool {
        memory.compareExchange(firstWord + word.rawValue, expected: expected, desired: desired).exchanged
    }

    /// A process has use of the entry.
    package func touch(at now: Instant) { store(.seenAt, now.nanoseconds) }

    // MARK: - Reading

    package var check: Check { Check(rawValue: load(.check)) ?? .unknown }
    package var isDrained: Bool { load(.isDrained) != 0 }
    package var ejectedUntil: Instant { Instant(nanoseconds: load(.ejectedUntil)) }
    package var ejections: UInt64 { load(.ejections) }

    /// - Parameters:
    ///   - isChecked: whether it is looked at: what earlier checks have found says nothing any more where it is not.
    ///   - isEjected: whether it is ever taken out for its failures; an earlier configuration may have had it so.
    package func state(at now: Instant, isChecked: Bool = true, isEjected: Bool = true) -> State {
        if isDrained { return .drained }
        if isChecked, check == .down { return .down }
        let until = load(.ejectedUntil)
        guard until > 0, isEjected else { return .up }
        return until > now.nanoseconds ? .ejected(Cause(rawValue: load(.cause)) ?? .consecutive) : .probation
    }

    /// For how long the server has been up: of its whole weight it gets a part while that is short.
    package func timeUp(at now: Instant) -> Nanoseconds { now.since(Instant(nanoseconds: load(.upSince))) }

    // MARK: - Requests

    /// Whether nobody tries the server at the moment.
    package func mayBegin(trialAt now: Instant) -> Bool {
        let before = load(.triedAt)
        return before == 0 || Instant(nanoseconds: before).adding(trialMax) < now
    }

    /// Takes the one request that tries a server after an ejection; false when another request does.
    package func beginTrial(at now: Instant) -> Bool {
        let before = load(.triedAt)
        // Of one that never ended nobody waits for the end.
        guard mayBegin(trialAt: now) else { return false }
        return trade(.triedAt, before, max(1, now.nanoseconds))
    }

    /// The request that tried the server has come to no end that tells anything.
    package func abandonTrial() { store(.triedAt, 0) }

    /// A request was answered well.
    ///
    /// - Returns: whether that ends an ejection.
    @discardableResult package func succeeded(at now: Instant, by rule: EjectionRule?) -> Bool {
        if load(.failures) != 0 { store(.failures, 0) }
        let until = load(.ejectedUntil)
        let isBack = until > 0 && until <= now.nanoseconds && trade(.ejectedUntil, until, 0)
        if isBack {
            store(.triedAt, 0)
            store(.upSince, now.nanoseconds)
        }
        guard let rule else { return isBack }
        count(0, at: now, by: rule)
        // A server that has been well for long enough starts from the beginning.
        if load(.ejections) > 0, until == 0, timeUp(at: now) > rule.longest { store(.ejections, 0) }
        return isBack
    }

    /// A request has failed.
    ///
    /// - Parameters:
    ///   - countsInRow: false for what concerns the rate alone, such as 429.
    ///   - mayEject: whether the group can do without the server; asked only where it would be ejected.
    /// - Returns: why it is ejected from now on, if it is.
    package func failed(at now: Instant, by rule: EjectionRule, countsInRow: Bool = true, mayEject: () -> Bool) -> Cause? {
        let failures = countsInRow ? memory.add(firstWord + Word.failures.rawValue, 1) : load(.failures)
        let (requests, failed) = count(1, at: now, by: rule)
        let until = load(.ejectedUntil)
        // The trial after an ejection has failed.
        if until > 0, until <= now.nanoseconds, countsInRow { return eject(.consecutive, until, now, rule) }
        guard until == 0 else { return nil }
        let cause: Cause? =
            if countsInRow, rule.consecutive > 0, failures >= UInt64(rule.consecutive) {
                .consecutive
            } else if rule.percent > 0, requests >= UInt64(rule.requests), failed * 100 >= requests * UInt64(rule.percent) {
                .rate
            } else {
                nil
            }
        guard let cause, mayEject() else { return nil }
        return eject(cause, until, now, rule)
    }

    /// Nil where another process has done it at the same moment.
    private func eject(_ cause: Cause, _ before: UInt64, _ now: Instant, _ rule: EjectionRule) -> Cause? {
        let length = rule.length(ofEjection: load(.ejections) &+ 1)
        guard trade(.ejectedUntil, before, now.adding(length).nanoseconds) else { return nil }
        memory.add(firstWord + Word.ejections.rawValue, 1)
        store(.cause, cause.rawValue)
        store(.failures, 0)
        store(.triedAt, 0)
        store(.windowStart, 0)
        return cause
    }

    /// Counts a request in the time that is looked at; what there is in it then.
    @discardableResult
    private func count(_ failures: UInt64, at now: Instant, by rule: EjectionRule) -> (requests: UInt64, failures: UInt64) {
        let start = load(.windowStart)
        if start == 0 || now.since(Instant(nanoseconds: start)) >= rule.window, trade(.windowStart, start, max(1, now.nanoseconds)) {
            store(.windowRequests, 0)
            store(.windowFailures, 0)
        }
        let requests = memory.add(firstWord + Word.windowRequests.rawValue, 1)
        let failed = failures > 0 ? memory.add(firstWord + Word.windowFailures.rawValue, failures) : load(.windowFailures)
        // Any worker may write here: no number of it leads out of arithmetic.
        return (min(requests, countMax), min(failed, countMax))
    }

    // MARK: - Checks and operators

    /// What a check has found; only the control process says so.
    package func set(_ check: Check, at now: Instant) {
        let before = self.check
        store(.check, check.rawValue)
        if check == .up, before == .down { store(.upSince, now.nanoseconds) }
    }

    package func setDrained(_ isDrained: Bool, at now: Instant) {
        store(.isDrained, isDrained ? 1 : 0)
        if !isDrained { store(.upSince, now.nanoseconds) }
    }
}

/// Longer than any request that tries a server should take.
private let trialMax = Nanoseconds.seconds(60)
private let countMax: UInt64 = 1 << 40
