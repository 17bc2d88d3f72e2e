import Bytes

/// Moments as text, in UTC.
package enum TimeText {
    /// Appends `2026-01-31T12:34:56.789Z`.
    package static func append(_ nanoseconds: UInt64, to output: inout [UInt8]) {
        let seconds = nanoseconds / 1_000_000_000
        let (year, month, day) = civil(days: seconds / 86_400)
        digits(year, 4, &output)
        output.append(0x2D)
        digits(month, 2, &output)
        output.append(0x2D)
        digits(day, 2, &output)
        output.append(UInt8(ascii: "T"))
        digits(seconds / 3_600 % 24, 2, &output)
        output.append(0x3A)
        digits(seconds / 60 % 60, 2, &output)
        output.append(0x3A)
        digits(seconds % 60, 2, &output)
        output.append(0x2E)
        digits(nanoseconds / 1_000_000 % 1_000, 3, &output)
        output.append(UInt8(ascii: "Z"))
    }

    /// The day of the Gregorian calendar that is so many days after 1970-01-01. Counted from March, so that the leap day
    /// is the last of its year; 400 years have 146,097 days.
    static func civil(days: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func digits(_ value: UInt64, _ count: Int, _ output: inout [UInt8]) {
        var divisor: UInt64 = 1
        for _ in 1..<count { divisor *= 10 }
        while divisor > 0 {
            output.append(0x30 + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }
}

extension TimeText {
    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
    package static func fieldDate(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let (year, month, day) = civil(days: seconds / 86_400)
        func two(_ value: UInt64) -> String { value < 10 ? "0\(value)" : String(value) }
        let time = "\(two(seconds / 3_600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
        // 1970-01-01 was a Thursday.
        return "\(weekdays[Int((seconds / 86_400 + 4) % 7)]), \(two(day)) \(months[Int(month - 1)]) \(year) \(time) GMT"
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
}
