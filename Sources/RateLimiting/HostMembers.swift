import Bytes
import System
import Time

/// How many hosts share a store, as one of this host's workers has heard last. Each host says every five seconds that it is there, and counts for fifteen; while the
/// store is away what was heard last holds.
///
/// Where a store was away, its count of hosts begins again, and they come back one by one: so for a while the number that was known may only rise.
///
/// Five words for each of sixteen stores: a hash of its name, when a worker has asked last, how many there were, when that was heard last, and since when it has been heard all
/// the time.
package struct HostMembers {
    private static let stores = 16
    private static let storeWords = 5
    static let words = stores * storeWords

    private let memory: SharedMemory
    private let firstWord: Int
    private let hash: SipHash

    /// - Parameter firstWord: where it begins in `memory`; the words are zero at first.
    init(_ memory: SharedMemory, firstWord: Int, hash: SipHash) {
        self.memory = memory
        self.firstWord = firstWord
        self.hash = hash
    }

    /// What this host calls itself: by chance, and the same for all of its workers.
    var name: [UInt8] {
        let text = Array("a host's name".utf8)
        var name: [UInt8] = []
        name.append(hexadecimal: hash.hash(text.span), digits: 16)
        return name
    }

    /// Whether it is time to ask, and no other worker does.
    func isDue(_ store: String, at now: Instant) -> Bool {
        guard let place = place(of: store, isMade: true) else { return false }
        let asked = memory.load(place + 1)
        guard asked == 0 || now.nanoseconds > asked && now.nanoseconds - asked >= pause.count else { return false }
        return memory.compareExchange(place + 1, expected: asked, desired: max(1, now.nanoseconds)).exchanged
    }

    /// The store is away: it is asked as soon as it is back.
    func notAsked(_ store: String) { if let place = place(of: store, isMade: false) { memory.store(place + 1, 0) } }

    func heard(_ count: UInt64, of store: String, at now: Instant) {
        guard let place = place(of: store, isMade: true) else { return }
        let (last, present) = (memory.load(place + 3), now.nanoseconds)
        if last == 0 || present > last && present - last > silence.count { memory.store(place + 4, present) }
        memory.store(place + 3, present)
        let since = memory.load(place + 4)
        let isSettled = present > since && present - since > settling.count
        if isSettled || count > memory.load(place + 2) { memory.store(place + 2, count) }
    }

    /// Hosts that share a store, this one among them; 0 where nobody has asked.
    package func count(of store: String) -> UInt64 { place(of: store, isMade: false).map { memory.load($0 + 2) } ?? 0 }

    private func place(of store: String, isMade: Bool) -> Int? {
        let text = Array(store.utf8)
        let name = max(1, hash.hash(text.span))
        for index in 0..<Self.stores {
            let place = firstWord + (Int(name % UInt64(Self.stores)) + index) % Self.stores * Self.storeWords
            let present = memory.load(place)
            if present == name { return place }
            guard present == 0 else { continue }
            guard isMade else { return nil }
            let (isMine, original) = memory.compareExchange(place, expected: 0, desired: name)
            if isMine || original == name { return place }
        }
        return nil
    }
}

private let pause = Nanoseconds.seconds(5)
/// After so long without a word the store was away.
private let silence = Nanoseconds.seconds(12)
/// In so long all hosts have said that they are there.
private let settling = Nanoseconds.seconds(20)
