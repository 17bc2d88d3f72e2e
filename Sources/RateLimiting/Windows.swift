import Time

/// Requests that are counted in windows of time, in place of the one number of ``GCRA``: for who has to keep what a contract says in days or months.
package struct Windows: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// All windows have one length, from 1970 on. At an edge twice the count may pass within a short time.
        case fixed
        /// As above; of the window before, the part is counted that lies within one length of now, as if its requests had come evenly.
        case sliding
        /// Days, weeks, months or years of a time zone.
        case calendar(Periods)
        /// Requests that are under way, each in the window in which its worker has said so last: one of which that was said in neither this window nor the one
        /// before is gone. See ``HeldRequests``.
        case concurrent
    }

    package let kind: Kind
    /// Whether the window before counts too.
    var keepsPrevious: Bool { kind == .sliding || kind == .concurrent }

    package var isOfRequestsUnderWay: Bool { kind == .concurrent }

    /// Of requests that are under way. They are said to be every few seconds, and are gone after two windows, so within 15 s.
    package static func concurrent(_ count: UInt64) -> Windows { Windows(.concurrent, count: count, length: 7_500) }

    /// How many requests a window lets through.
    package let count: UInt64
    /// Milliseconds; of a calendar's periods about.
    package let length: UInt64

    package init(_ kind: Kind, count: UInt64, length: UInt64) {
        self.kind = kind
        self.count = count
        self.length = max(1, length)
    }

    /// Beginnings of periods, in seconds since 1970. Beyond the last one, all are as long as the one before it.
    package struct Periods: Equatable, Sendable {
        package let starts: [Int64]
        /// As the file says it, such as `month` or `month from day 15 in Europe/Berlin`.
        package let title: String

        /// - Parameter starts: at least two, in order.
        package init(_ starts: [Int64], title: String = "") {
            precondition(starts.count >= 2, "a period has a beginning and an end")
            self.starts = starts
            self.title = title
        }

        /// The beginning of the period with this number; of the first known one it is 0.
        package func start(_ number: Int) -> Int64 {
            if number < 0 { return starts[0] - Int64(-number) * (starts[1] - starts[0]) }
            if number < starts.count { return starts[number] }
            return starts[starts.count - 1] + Int64(number - starts.count + 1) * (starts[starts.count - 1] - starts[starts.count - 2])
        }

        /// The number of the period that a moment lies in.
        package func number(at seconds: Int64) -> Int {
            if seconds < starts[0] { return -Int((starts[0] - seconds - 1) / (starts[1] - starts[0])) - 1 }
            if seconds >= starts[starts.count - 1] {
                return starts.count - 1 + Int((seconds - starts[starts.count - 1]) / (starts[starts.count - 1] - starts[starts.count - 2]))
            }
            var (low, high) = (0, starts.count - 1)
            while high - low > 1 {
                let middle = (low + high) / 2
                if starts[middle] <= seconds { low = middle } else { high = middle }
            }
            return low
        }
    }

    /// A window's first millisecond, and the first behind it, since 1970.
    package func window(at wall: UInt64) -> (start: UInt64, end: UInt64) {
        if case .calendar(let periods) = kind {
            let number = periods.number(at: Int64(clamping: wall / 1_000))
            return (UInt64(clamping: periods.start(number)) * 1_000, UInt64(clamping: periods.start(number + 1)) * 1_000)
        }
        let start = wall - wall % length
        return (start, start + length)
    }

    /// What was counted of a key.
    package struct Counts: Equatable, Sendable {
        /// The window's first millisecond.
        package var start: UInt64
        package var current: UInt64
        /// In the window before; of sliding ones alone.
        package var previous: UInt64

        package init(start: UInt64, current: UInt64 = 0, previous: UInt64 = 0) {
            self.start = start
            self.current = current
            self.previous = previous
        }
    }

    /// The counts as they are at another moment. Those of the next window go on: the clock has gone back, or a store's is ahead of this one.
    package func counts(_ counts: Counts, at wall: UInt64) -> Counts {
        let (start, end) = window(at: wall)
        guard counts.start < start || counts.start > end else { return counts }
        let isNext = keepsPrevious && counts.start + length == start
        return Counts(start: start, current: 0, previous: isNext ? counts.current : 0)
    }

    /// Decides on `units` requests at `wall`, milliseconds since 1970: all are charged or none.
    ///
    /// - Parameter counts: of the key; changed where it is charged.
    package func decide(_ counts: inout Counts, at wall: UInt64, units: UInt64 = 1) -> GCRA.Decision {
        counts = self.counts(counts, at: wall)
        let isAllowed = wait(for: units, counts, at: wall) == 0
        if isAllowed { counts.current += units }
        return decision(counts, at: wall, granted: isAllowed ? units : 0, isAllowed: isAllowed, units: max(1, units))
    }

    /// What is to be said of a key with these counts.
    package func decision(_ counts: Counts, at wall: UInt64, granted: UInt64, isAllowed: Bool, units: UInt64 = 1) -> GCRA.Decision {
        let remaining = remaining(counts, at: wall)
        var decision = GCRA.Decision(
            isAllowed: isAllowed, granted: granted, arrival: counts.start, remaining: remaining,
            resetAfter: .milliseconds(max(1, window(at: wall).end - wall)),
            retryAfter: .milliseconds(isAllowed ? 0 : max(1, wait(for: units, counts, at: wall))))
        decision.nextAfter = .milliseconds(
            isAllowed ? max(1, wait(for: remaining + 1, counts, at: wall)) : decision.retryAfter.milliseconds)
        decision.counts = counts
        return decision
    }

    /// How many requests may come at once.
    func remaining(_ counts: Counts, at wall: UInt64) -> UInt64 {
        if kind == .concurrent { return count - min(count, counts.current + counts.previous) }
        guard kind == .sliding else { return count - min(count, counts.current) }
        let used = counts.current * length + carried(counts, at: wall)
        let whole = count * length
        return used >= whole ? 0 : (whole - used) / length
    }

    /// What the window before still counts for, times the length.
    private func carried(_ counts: Counts, at wall: UInt64) -> UInt64 {
        counts.previous == 0 ? 0 : counts.previous * (window(at: wall).end - wall)
    }

    /// How long until so many requests may come at once; zero for now.
    private func wait(for units: UInt64, _ counts: Counts, at wall: UInt64) -> UInt64 {
        guard remaining(counts, at: wall) < units else { return 0 }
        // One may end at any moment.
        if kind == .concurrent { return 1_000 }
        let end = window(at: wall).end
        guard kind == .sliding, units <= count else { return end - wall }
        // The share of the window before shrinks with time.
        if counts.current + units <= count, counts.previous > 0 {
            let from = end - min(end, (count - counts.current - units) * length / counts.previous)
            return max(1, from - min(from, wall))
        }
        guard counts.current > 0 else { return end - wall }
        return end + length - min(length, (count - units) * length / counts.current) - wall
    }

    /// More than any limit has: what a store or another worker says is cut to it.
    package var countMax: UInt64 { keepsPrevious ? 0x3F_FFFF : 0xFFFF_FFFF }
}
