import Time

/// Calls that went out on a connection, in the order in which their replies come. One whose reply is late is over for who asked, but the reply is
/// awaited all the same: only the order tells which call it belongs to.
struct CallQueue<Call> {
    struct Entry {
        let call: Call
        let sentAt: Instant
        var isLate = false
    }

    private var entries: [Entry] = []
    /// Those before have their replies; see ``take()``.
    private var first = 0
    /// Of those behind, so many are late: lateness comes in order.
    private(set) var lateCount = 0

    var isEmpty: Bool { first == entries.count }
    var count: Int { entries.count - first }

    mutating func add(_ call: Call, at now: Instant) { entries.append(Entry(call: call, sentAt: now)) }

    /// When the call was sent that has waited longest without being late.
    var oldestInTime: Instant? { first + lateCount < entries.count ? entries[first + lateCount].sentAt : nil }

    /// When the call was sent whose reply comes next.
    var oldest: Instant? { first < entries.count ? entries[first].sentAt : nil }

    /// Makes the oldest late that was not, if it was sent at `moment` or before.
    mutating func makeLate(sentBy moment: Instant) -> Call? {
        let index = first + lateCount
        guard index < entries.count, entries[index].sentAt <= moment else { return nil }
        entries[index].isLate = true
        lateCount += 1
        return entries[index].call
    }

    /// The call whose reply has come; nil where none was awaited.
    mutating func take() -> Entry? {
        guard first < entries.count else { return nil }
        let entry = entries[first]
        first += 1
        if entry.isLate { lateCount -= 1 }
        // Kept short even if there is always one without its reply.
        if first == entries.count || first >= answeredMax {
            entries.removeFirst(first)
            first = 0
        }
        return entry
    }

    /// Forgets all; those that were not late yet.
    mutating func removeAll() -> [Call] {
        let left = entries[first...].filter { !$0.isLate }.map(\.call)
        self = CallQueue()
        return left
    }
}

/// Calls with their replies are dropped in pieces of this many.
private let answeredMax = 1_024
