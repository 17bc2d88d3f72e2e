import Time
import RateLimiting
import System

/// Exchanges that wait for a connection to one group of servers. Clients are served in turn, each its own exchanges in their order; every
/// operation takes constant time, but for the clean-up behind those who gave up, which is paid for by them.
final class WaitingList {
    final class Entry {
        let exchange: Exchange
        let ticket: UInt64
        let beganAt: Instant
        let deadline: Instant
        let account: ClientAccount
        fileprivate var isOver = false

        init(_ exchange: Exchange, _ ticket: UInt64, from beganAt: Instant, until deadline: Instant, _ account: ClientAccount) {
            self.beganAt = beganAt
            self.exchange = exchange
            self.ticket = ticket
            self.deadline = deadline
            self.account = account
        }
    }

    /// A queue whose front moves through its storage.
    private struct Line {
        private var entries: [Entry] = []
        private var front = 0
        var isEmpty: Bool { front == entries.count }
        var live = 0

        mutating func append(_ entry: Entry) { entries.append(entry) }

        /// The first that still waits.
        mutating func first() -> Entry? {
            while front < entries.count, entries[front].isOver { front += 1 }
            if front > 32, front * 2 > entries.count {
                entries.removeFirst(front)
                front = 0
            }
            return front < entries.count ? entries[front] : nil
        }

        /// The last that still waits.
        mutating func last() -> Entry? {
            while entries.count > front, entries[entries.count - 1].isOver { entries.removeLast() }
            return entries.count > front ? entries[entries.count - 1] : nil
        }

        mutating func removeGone() {
            entries.removeAll(where: \.isOver)
            front = 0
        }
    }

    private var lines: [ObjectIdentifier: Line] = [:]
    /// Clients in their turn.
    private var ring: [ClientAccount] = []
    private var ringFront = 0
    /// All, by the moment at which they have waited for long enough.
    private var byTime = Line()
    private var gone = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func add(_ entry: Entry) {
        let key = ObjectIdentifier(entry.account)
        if lines[key] == nil {
            lines[key] = Line()
            ring.append(entry.account)
        }
        lines[key]?.append(entry)
        lines[key]?.live += 1
        byTime.append(entry)
        entry.account.waiting += 1
        count += 1
    }

    /// How many of a client wait here.
    func waiting(of account: ClientAccount) -> Int { lines[ObjectIdentifier(account)]?.live ?? 0 }

    /// Takes an exchange out, whether it is served or has given up; false when it was out already.
    @discardableResult func remove(_ entry: Entry) -> Bool {
        guard !entry.isOver else { return false }
        entry.isOver = true
        entry.account.waiting -= 1
        count -= 1
        gone += 1
        lines[ObjectIdentifier(entry.account)]?.live -= 1
        guard gone > count + 64 else { return true }
        gone = 0
        byTime.removeGone()
        for key in lines.keys { lines[key]?.removeGone() }
        return true
    }

    /// Whose turn it is.
    func next() -> Entry? {
        while ringFront < ring.count {
            let account = ring[ringFront]
            let key = ObjectIdentifier(account)
            if let entry = lines[key]?.first() { return entry }
            lines[key] = nil
            advance()
        }
        ring = []
        ringFront = 0
        return nil
    }

    /// The client whose turn it was comes behind the others.
    func turn() {
        guard ringFront < ring.count else { return }
        ring.append(ring[ringFront])
        advance()
    }

    private func advance() {
        ringFront += 1
        if ringFront > 32, ringFront * 2 > ring.count {
            ring.removeFirst(ringFront)
            ringFront = 0
        }
    }

    /// The one that has waited longest.
    func oldest() -> Entry? { byTime.first() }

    /// The youngest exchange of a client of which many more wait than of `account`, as far as a look at a few of them tells.
    func youngestOfLargest(than account: ClientAccount) -> Entry? {
        var largest: ClientAccount?
        var most = waiting(of: account) + 1
        for offset in 0..<min(clientsLookedAt, ring.count - ringFront) {
            // Spread over the ring, and elsewhere each time.
            let place =
                ringFront + (Int(truncatingIfNeeded: UInt(bitPattern: lookedAt &+ offset &* 7_919)) & Int.max) % (ring.count - ringFront)
            let candidate = ring[place]
            if waiting(of: candidate) > most { (largest, most) = (candidate, waiting(of: candidate)) }
        }
        lookedAt &+= 1
        guard let largest else { return nil }
        return lines[ObjectIdentifier(largest)]?.last()
    }

    private var lookedAt = 0
}

private let clientsLookedAt = 8
