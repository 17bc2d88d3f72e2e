import Time

/// What one authorizer said lately. Bounded; what is over is looked for when there is no room.
struct VerdictCache {
    private struct Entry {
        let verdict: AuthorizerVerdict
        let end: Instant
    }

    private var entries: [[UInt8]: Entry] = [:]
    private var bytes = 0

    func find(_ key: [UInt8], at now: Instant) -> AuthorizerVerdict? {
        guard let entry = entries[key], now < entry.end else { return nil }
        return entry.verdict
    }

    mutating func keep(_ verdict: AuthorizerVerdict, _ key: [UInt8], until end: Instant, at now: Instant) {
        if entries.count >= entriesMax || bytes + key.count > keyBytesMax {
            entries = entries.filter { now < $0.value.end }
            bytes = entries.keys.reduce(0) { $0 + $1.count }
            // All of them hold still: a part gives way, whichever.
            while entries.count >= entriesMax * 7 / 8 || bytes + key.count > keyBytesMax * 7 / 8, let any = entries.keys.first {
                entries[any] = nil
                bytes -= any.count
            }
        }
        if entries.updateValue(Entry(verdict: verdict, end: end), forKey: key) == nil { bytes += key.count }
    }
}

private let entriesMax = 16_384
private let keyBytesMax = 16 << 20
