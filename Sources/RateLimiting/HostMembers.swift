import Bytes
import System
import Time

/// How many hosts share a store, as one of this host's workers has heard last. Each host says every five seconds that it is there, and counts for fifteen; while the
/// store is away what was heard last holds.
///
/// Three words for each of sixteen stores: a hash of its name, when a worker has asked last, and how many there were.
package struct HostMembers {
    private static let stores = 16
    private static let storeWords = 3
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

    func heard(_ count: UInt64, of store: String) { if let place = place(of: store, isMade: true) { memory.store(place + 2, count) } }

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
