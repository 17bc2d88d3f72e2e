/// What a time zone does for good, in the words of POSIX: `CET-1CEST,M3.5.0,M10.5.0/3` (IEEE 1003.1, section 8.3).
struct PosixTimeZone {
    private let standard: Int64
    private let summer: (offset: Int64, begins: Day, ends: Day)?

    private struct Day {
        enum Kind {
            /// The weekday of a month: the first, second … or, with 5, the last.
            case weekday(month: Int, week: Int, weekday: Int)
            /// From 1; 29 February is never counted.
            case julian(Int)
            /// From 0.
            case ordinal(Int)
        }

        let kind: Kind
        /// Seconds of the local day.
        let time: Int64

        /// Seconds since 1970, as if the clock there were UTC.
        func local(in year: Int64) -> Int64 {
            let january = CivilDate.days(year: year, month: 1, day: 1)
            let day: Int64
            switch kind {
            case .julian(let number): day = january + Int64(number - 1) + (number >= 60 && CivilDate.isLeap(year) ? 1 : 0)
            case .ordinal(let number): day = january + Int64(number)
            case .weekday(let month, let week, let weekday):
                let first = CivilDate.days(year: year, month: Int64(month), day: 1)
                // 1 January 1970 was a Thursday; Sunday is 0.
                let ahead = (Int64(weekday) - (first + 4) % 7 + 7) % 7
                var found = first + ahead + Int64(week - 1) * 7
                if found >= first + CivilDate.length(year: year, month: Int64(month)) { found -= 7 }
                day = found
            }
            return day * 86_400 + time
        }
    }

    init?(_ text: String) {
        var rest = Substring(text)
        guard Self.name(&rest), let west = Self.time(&rest) else { return nil }
        standard = -west
        guard !rest.isEmpty else {
            summer = nil
            return
        }
        guard Self.name(&rest) else { return nil }
        var offset = standard + 3_600
        if rest.first != "," {
            guard let west = Self.time(&rest) else { return nil }
            offset = -west
        }
        let parts = rest.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].isEmpty, let begins = Self.day(parts[1]), let ends = Self.day(parts[2]) else { return nil }
        summer = (offset, begins, ends)
    }

    private static func name(_ rest: inout Substring) -> Bool {
        let before = rest.count
        if rest.first == "<" {
            guard let end = rest.firstIndex(of: ">") else { return false }
            rest = rest[rest.index(after: end)...]
        } else {
            rest = rest.drop { $0.isLetter }
        }
        return before - rest.count >= 3
    }

    /// `[+-]hh[:mm[:ss]]`, in seconds.
    private static func time(_ rest: inout Substring) -> Int64? {
        let text = rest.prefix { $0.isNumber || $0 == ":" || $0 == "+" || $0 == "-" }
        rest = rest.dropFirst(text.count)
        let isNegative = text.first == "-"
        let parts = text.drop { $0 == "+" || $0 == "-" }.split(separator: ":").map { Int64($0) ?? -1 }
        guard (1...3).contains(parts.count), parts.allSatisfy({ 0...200 ~= $0 }) else { return nil }
        let seconds = zip(parts, [3_600, 60, 1]).reduce(0) { $0 + $1.0 * $1.1 }
        return isNegative ? -seconds : seconds
    }

    private static func day(_ text: Substring) -> Day? {
        let parts = text.split(separator: "/", maxSplits: 1)
        guard let first = parts.first else { return nil }
        var time: Int64 = 7_200
        if parts.count == 2 {
            var rest = parts[1]
            guard let given = Self.time(&rest), rest.isEmpty else { return nil }
            time = given
        }
        if first.hasPrefix("M") {
            let numbers = first.dropFirst().split(separator: ".").map { Int($0) ?? -1 }
            guard numbers.count == 3, 1...12 ~= numbers[0], 1...5 ~= numbers[1], 0...6 ~= numbers[2] else { return nil }
            return Day(kind: .weekday(month: numbers[0], week: numbers[1], weekday: numbers[2]), time: time)
        }
        if first.hasPrefix("J") {
            guard let number = Int(first.dropFirst()), 1...365 ~= number else { return nil }
            return Day(kind: .julian(number), time: time)
        }
        guard let number = Int(first), 0...365 ~= number else { return nil }
        return Day(kind: .ordinal(number), time: time)
    }

    func offset(at moment: Int64) -> Int64 {
        guard let summer else { return standard }
        let year = CivilDate(moment + standard).year
        let begins = summer.begins.local(in: year) - standard
        let ends = summer.ends.local(in: year) - summer.offset
        let isSummer = begins < ends ? begins <= moment && moment < ends : !(ends <= moment && moment < begins)
        return isSummer ? summer.offset : standard
    }
}
