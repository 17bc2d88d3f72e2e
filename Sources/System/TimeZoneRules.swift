/// A time zone, read from the system's file: TZif, version 2 and later (RFC 8536). The C library has zones too, but one at a time for the whole process, and
/// changes it by the environment, which other threads read.
struct TimeZoneRules {
    /// Moments at which the offset changes, in seconds since 1970, in order, and the seconds east of Greenwich from then on.
    private var changes: [(at: Int64, offset: Int64)] = []
    private var firstOffset: Int64 = 0
    /// What holds behind the last change.
    private var rule: PosixTimeZone?

    static let utc = TimeZoneRules()

    private init() {}

    /// Nil where the system has no such zone, or its file is none.
    init?(named name: String) {
        if name == "UTC" {
            self.init()
            return
        }
        let isName = !name.isEmpty && name.utf8.count < 64 && !name.hasPrefix("/") && !name.contains("..")
        guard isName, let bytes = try? LocalFiles.read("/usr/share/zoneinfo/\(name)", bytesMax: 1 << 20) else { return nil }
        self.init(bytes)
    }

    init?(_ bytes: [UInt8]) {
        guard let first = Header(bytes, at: 0), first.version >= 0x32,
            let second = Header(bytes, at: Header.size + first.dataSize(timeSize: 4))
        else { return nil }
        var place = Header.size + first.dataSize(timeSize: 4) + Header.size
        guard place + second.dataSize(timeSize: 8) <= bytes.count, second.types > 0 else { return nil }
        func number(_ size: Int, at place: Int) -> Int64 {
            let value = bytes[place..<place + size].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return size == 4 ? Int64(Int32(truncatingIfNeeded: value)) : Int64(bitPattern: value)
        }
        let times = (0..<second.times).map { number(8, at: place + $0 * 8) }
        place += second.times * 8
        let kinds = (0..<second.times).map { Int(bytes[place + $0]) }
        place += second.times
        let offsets = (0..<second.types).map { number(4, at: place + $0 * 6) }
        guard kinds.allSatisfy({ $0 < offsets.count }), offsets.allSatisfy({ abs($0) <= 100_000 }) else { return nil }
        firstOffset = offsets[0]
        changes = zip(times, kinds).map { ($0, offsets[$1]) }
        guard zip(times, times.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
        // The footer stands between two newlines.
        let footer = Header.size * 2 + first.dataSize(timeSize: 4) + second.dataSize(timeSize: 8)
        guard footer < bytes.count, bytes[footer] == 0x0A, let end = bytes[(footer + 1)...].firstIndex(of: 0x0A) else { return }
        rule = PosixTimeZone(String(decoding: bytes[footer + 1..<end], as: UTF8.self))
    }

    private struct Header {
        static let size = 44
        let version: UInt8
        let times: Int
        let types: Int
        private let others: [Int]

        init?(_ bytes: [UInt8], at place: Int) {
            guard place >= 0, place + Self.size <= bytes.count, Array(bytes[place..<place + 4]) == Array("TZif".utf8) else { return nil }
            version = bytes[place + 4]
            let counts = (0..<6).map { index in bytes[place + 20 + index * 4..<place + 24 + index * 4].reduce(0) { $0 << 8 | Int($1) } }
            guard counts.allSatisfy({ $0 <= 1 << 20 }) else { return nil }
            others = counts
            times = counts[3]
            types = counts[4]
        }

        /// Bytes of all that stands behind the header.
        func dataSize(timeSize: Int) -> Int {
            times * (timeSize + 1) + types * 6 + others[5] + others[2] * (timeSize + 4) + others[1] + others[0]
        }
    }

    /// Seconds east of Greenwich at a moment.
    func offset(at moment: Int64) -> Int64 {
        guard let last = changes.last else { return rule?.offset(at: moment) ?? firstOffset }
        if moment >= last.at { return rule?.offset(at: moment) ?? last.offset }
        var (low, high) = (-1, changes.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if changes[middle].at <= moment { low = middle } else { high = middle }
        }
        return low < 0 ? firstOffset : changes[low].offset
    }

    /// The moment at which clocks there show `local`, seconds since 1970 as if it were UTC: the first, where there are two; where there is none, because the
    /// clock is put forward, that of the change.
    func moment(ofLocal local: Int64) -> Int64 {
        let offsets = [offset(at: local - 86_400), offset(at: local + 86_400)]
        for offset in offsets where self.offset(at: local - offset) == offset { return local - offset }
        return local - offsets[0]
    }
}
