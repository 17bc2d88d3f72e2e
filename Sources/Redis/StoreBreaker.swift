import Time

/// When a server is not asked for a while, because it is late or says that it cannot answer. Then probes find out, one after the other, whether it
/// is well again, so that no request waits for that.
struct StoreBreaker {
    private enum State {
        case closed
        /// No probe before this moment.
        case open(until: Instant)
        /// So many probes in a row were answered in good time.
        case trying(successes: Int, next: Instant)
    }

    private let timeout: Nanoseconds
    /// A number from 0 to 1, by chance.
    private let chance: () -> Double
    private var state = State.closed
    private var timeoutsInRow = 0
    private var windowStart = Instant.past
    private var asked = 0
    private var late = 0
    private var pause = pauseFirst

    init(timeout: Nanoseconds, chance: @escaping () -> Double) {
        self.timeout = timeout
        self.chance = chance
    }

    /// Whether requests may ask.
    var isClosed: Bool { if case .closed = state { true } else { false } }

    /// When the next probe is due; never while requests ask.
    var probeAt: Instant {
        switch state {
        case .closed: .never
        case .open(let moment): moment
        case .trying(_, let next): next
        }
    }

    /// A question was answered. While requests do not ask, those that were under way before tell nothing: probes do.
    ///
    /// - Returns: whether the breaker has closed with that.
    mutating func answered(after length: Nanoseconds, at now: Instant, isProbe: Bool = false) -> Bool {
        guard isClosed || isProbe else { return false }
        timeoutsInRow = 0
        count(isLate: false, at: now)
        switch state {
        case .closed: return false
        case .open, .trying:
            // Just in time is not well: it would be late again with the next load.
            guard length <= Nanoseconds(timeout.count / 2) else {
                open(at: now)
                return false
            }
            let successes = if case .trying(let count, _) = state { count + 1 } else { 1 }
            if successes >= successesToClose {
                state = .closed
                pause = pauseFirst
                (asked, late) = (0, 0)
                return true
            }
            state = .trying(successes: successes, next: now)
            return false
        }
    }

    /// A question was not answered in time.
    ///
    /// - Returns: whether the breaker has opened with that.
    mutating func timedOut(at now: Instant, isProbe: Bool = false) -> Bool {
        guard isClosed || isProbe else { return false }
        timeoutsInRow += 1
        count(isLate: true, at: now)
        let isTooMuch = timeoutsInRow >= timeoutsMax || asked >= askedMin && late * 2 >= asked
        guard isTooMuch || !isClosed else { return false }
        defer { open(at: now) }
        return isClosed
    }

    /// The server says that it cannot answer.
    ///
    /// - Returns: as above.
    mutating func refused(at now: Instant, isProbe: Bool = false) -> Bool {
        guard isClosed || isProbe else { return false }
        defer { open(at: now) }
        return isClosed
    }

    /// A probe has gone out: the next one is not due before its fate is known.
    mutating func probed() {
        switch state {
        case .closed: break
        case .open: state = .open(until: .never)
        case .trying(let successes, _): state = .trying(successes: successes, next: .never)
        }
    }

    /// There is another connection: what was asked on the one before has no answer.
    mutating func connected(at now: Instant) { if !isClosed { state = .trying(successes: 0, next: now) } }

    private mutating func open(at now: Instant) {
        // Half of it more or less, so that many gateways do not ask at the same moment.
        let length = Nanoseconds(UInt64(Double(pause.count) * (0.5 + chance())))
        state = .open(until: now.adding(length))
        pause = min(pause * 2, pauseMax)
        timeoutsInRow = 0
        (asked, late) = (0, 0)
    }

    private mutating func count(isLate: Bool, at now: Instant) {
        if now.since(windowStart) >= window { (windowStart, asked, late) = (now, 0, 0) }
        asked += 1
        if isLate { late += 1 }
    }
}

private let timeoutsMax = 3
private let askedMin = 20
private let window = Nanoseconds.seconds(1)
private let successesToClose = 3
private let pauseFirst = Nanoseconds.milliseconds(50)
private let pauseMax = Nanoseconds.seconds(5)
