import System
import Time

/// Requests of this worker that are under way and that `concurrent` limits count.
///
/// A limit counts a request in the window in which it began. Who still has it says so every few seconds: it is then counted in the present window. A
/// window before the last one counts nothing, so what a process had that was killed, or a host that is gone, is free again after 15 s at most; and a
/// stream that lasts for days is counted for as long. See ``Windows/Kind/concurrent``.
final class HeldRequests {
    /// Of one key: the table of the host and a store are counted each by itself.
    struct Key: Hashable {
        let fingerprint: UInt64
        let isInStore: Bool
    }

    /// What the worker has of one key.
    struct Held {
        let quota: Quota
        /// The store that counts it, or that would if it were not away; nil for a limit of this host.
        let store: String?
        /// The question about the key, where there is a store.
        let call: RemoteCall?
        var windows: [Window]
        var renewedAt: Instant
        /// How many replies are awaited that say where they are counted now; who ends meanwhile is taken back afterwards.
        var moving = 0
        var ended = 0
        var units: UInt64 { windows.reduce(0) { $0 + $1.units } }
        /// Whether one more may end that is counted here.
        var hasOne: Bool { units > UInt64(ended) }

        mutating func add(_ units: UInt64, in start: UInt64, was: UInt64 = 0) {
            if let index = windows.firstIndex(where: { $0.start == start && $0.was == was }) {
                windows[index].units += units
            } else {
                windows.append(Window(start: start, units: units, was: was))
            }
        }
    }

    /// Requests that are counted in the window that begins at `start`, a millisecond since 1970.
    struct Window {
        let start: UInt64
        var units: UInt64
        /// Where the store has counted them last, while this host counts in its place; 0 for nowhere.
        var was: UInt64 = 0
    }

    private(set) var held: [Key: Held] = [:]

    subscript(key: Key) -> Held? { held[key] }

    /// A request has begun, and is counted in the window that begins at `start`.
    func begin(_ key: Key, _ fresh: @autoclosure () -> Held, in start: UInt64) {
        var present = held[key] ?? fresh()
        held[key] = nil
        present.add(1, in: start)
        held[key] = present
    }

    /// A request has ended.
    ///
    /// - Returns: of which window it is to be taken back: the oldest, for the units of a key are all alike; nil where that is not known yet.
    func end(_ key: Key) -> (Held, start: UInt64)? {
        if let present = held[key], present.moving > 0, present.hasOne {
            held[key]?.ended += 1
            return nil
        }
        guard var present = held[key],
            let index = present.windows.indices.min(by: { present.windows[$0].start < present.windows[$1].start })
        else { return nil }
        held[key] = nil
        let start = present.windows[index].start
        present.windows[index].units -= 1
        if present.windows[index].units == 0 { present.windows.remove(at: index) }
        if !present.windows.isEmpty { held[key] = present }
        return (present, start)
    }

    /// Those of which it is time to say that they are still there.
    func due(at now: Instant) -> [Key] { held.filter { now.since($0.value.renewedAt) >= renewAfter }.map(\.key) }

    /// It is said for all windows of a key.
    func asked(_ key: Key, replies: Int, at now: Instant) {
        held[key]?.renewedAt = now
        held[key]?.moving += replies
    }

    /// One of the replies has come, or will not.
    ///
    /// - Returns: how many have ended meanwhile, where it was the last.
    func replied(_ key: Key) -> Int {
        guard let present = held[key], present.moving > 0 else { return 0 }
        held[key]?.moving -= 1
        guard present.moving == 1 else { return 0 }
        held[key]?.ended = 0
        if present.windows.isEmpty { held[key] = nil }
        return present.ended
    }

    /// Units of a window are counted in another one from now on.
    func moved(_ key: Key, _ units: UInt64, from old: UInt64, to new: UInt64) {
        guard var present = held[key], old != new, let index = present.windows.firstIndex(where: { $0.start == old }) else { return }
        held[key] = nil
        let (moving, was) = (min(units, present.windows[index].units), present.windows[index].was)
        present.windows[index].units -= moving
        if present.windows[index].units == 0 { present.windows.remove(at: index) }
        present.add(moving, in: new, was: was)
        held[key] = present
    }

    /// Some of a key are counted elsewhere from now on: by the store, or by this host.
    func handOver(_ window: Window, of key: Key, to other: Key, in start: UInt64, was: UInt64 = 0, at now: Instant) {
        guard var present = held[key], let index = present.windows.firstIndex(where: { $0.start == window.start }) else { return }
        let units = min(window.units, present.windows[index].units)
        var there =
            held[other]
            ?? Held(quota: present.quota, store: present.store, call: present.call, windows: [], renewedAt: now)
        present.windows[index].units -= units
        if present.windows[index].units == 0 { present.windows.remove(at: index) }
        // Who has ended meanwhile is still to be taken back.
        held[key] = present.windows.isEmpty && present.moving == 0 ? nil : present
        there.add(units, in: start, was: was)
        held[other] = there
    }
}

/// A third of the time within which it has to be said.
private let renewAfter = Nanoseconds.seconds(4)
