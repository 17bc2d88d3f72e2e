/// When days, weeks, months and years begin somewhere, by the system's time zones.
package enum LocalCalendar {
    package enum Unit: String, Sendable, CaseIterable { case day, week, month, year }

    /// Whether the system knows a zone of this name, such as `Europe/Berlin`.
    package static func hasZone(_ name: String) -> Bool { TimeZoneRules(named: name) != nil }

    /// The moments at which periods begin, in seconds since 1970, in order: the one that `moment` lies in, the one before, and those that follow.
    ///
    /// - Parameters:
    ///   - first: of a week its first day, from 1 for Monday; of a month its day, in months that are shorter their last one; else nothing.
    ///   - zone: one that there is; UTC in its place where it has gone.
    ///   - count: how many, at least 2.
    package static func starts(of unit: Unit, first: Int, zone: String, around moment: Int64, count: Int) -> [Int64] {
        let rules = TimeZoneRules(named: zone) ?? .utc
        let now = CivilDate(moment + rules.offset(at: moment))
        // A few more before: the period's first day may lie behind today.
        let starts = (-2..<Int64(count) + 2).map { step in
            let days: Int64
            switch unit {
            case .day: days = now.days + step
            case .week:
                // 1 January 1970 was a Thursday; Monday is 0.
                let weekday = ((now.days + 3) % 7 + 7) % 7
                days = now.days - (weekday - Int64(first - 1) + 7) % 7 + step * 7
            case .month:
                let month = now.year * 12 + now.month - 1 + step
                let length = CivilDate.length(year: month / 12, month: month % 12 + 1)
                days = CivilDate.days(year: month / 12, month: month % 12 + 1, day: min(Int64(first), length))
            case .year: days = CivilDate.days(year: now.year + step, month: 1, day: 1)
            }
            return rules.moment(ofLocal: days * 86_400)
        }
        let present = starts.lastIndex { $0 <= moment } ?? 0
        return Array(starts[max(0, present - 1)...].prefix(count))
    }
}
