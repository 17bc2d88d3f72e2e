import Time

/// The keys that a worker was asked about most, of one limit: a sketch of fixed size (space-saving, Metwally and others 2005), made of a part of the
/// requests. A key that has come often enough is in it; what it says of a key is too much by no more than the smallest count that is in it.
struct TopKeys {
    struct Entry {
        var fingerprint: UInt64
        var count: UInt64
        var text: String
    }

    private(set) var entries: [Entry] = []
    private var halvedAt = Instant.past

    /// A request of a key has come.
    mutating func note(_ fingerprint: UInt64, at now: Instant, _ text: () -> String) {
        // What was long ago counts for less and less.
        if now.since(halvedAt) >= halveAfter {
            halvedAt = now
            for index in entries.indices { entries[index].count /= 2 }
            entries.removeAll { $0.count == 0 }
        }
        if let index = entries.firstIndex(where: { $0.fingerprint == fingerprint }) {
            entries[index].count += 1
        } else if entries.count < keysMax {
            entries.append(Entry(fingerprint: fingerprint, count: 1, text: text()))
        } else if let least = entries.indices.min(by: { entries[$0].count < entries[$1].count }) {
            entries[least] = Entry(fingerprint: fingerprint, count: entries[least].count + 1, text: text())
        }
    }
}

private let keysMax = 64
private let halveAfter = Nanoseconds.seconds(60)
