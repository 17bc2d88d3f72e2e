import ConfigFile
import Time
import System

extension Windows {
    /// Reads `window fixed|sliding;` beside a rate, or `quota COUNT/PERIOD { … }` or `concurrent COUNT;` in place of one; nil for neither, or where a part is wrong.
    ///
    /// - Parameter rate: what `rate` says.
    static func read(
        _ block: Block, _ rate: (count: UInt64, window: Nanoseconds)?, _ rateDirective: Directive?, _ diagnostics: Diagnostics
    ) -> Windows? {
        let window = block.one("window")
        let quota = block.one("quota")
        if let concurrent = block.one("concurrent") {
            if let extra = rateDirective ?? window ?? quota {
                diagnostics.error(
                    "a limit has a \(extra.name.text) or counts what is under way, not both", at: extra.name, hint: "use two limits")
            }
            return concurrent.integer(1...1_000_000, diagnostics).map { .concurrent(UInt64($0)) }
        }
        if let quota {
            if let extra = rateDirective ?? window {
                diagnostics.error("a limit has a quota or a \(extra.name.text), not both", at: extra.name, hint: "use two limits")
            }
            return Windows(quota, diagnostics)
        }
        guard let window else { return nil }
        let kind = window.choice(["fixed": Kind.fixed, "sliding": .sliding], diagnostics)
        guard let kind, let rate else { return nil }
        let windows = Windows(kind, count: rate.count, length: rate.window.milliseconds)
        if rate.window < .seconds(1) {
            diagnostics.error("a window of less than a second is none that can be told", at: window.name, hint: "remove window")
        }
        if rate.count > windows.countMax {
            diagnostics.error("a sliding window counts up to \(windows.countMax)", at: window.name, hint: "remove window, or use fixed")
        }
        return windows
    }

    /// Reads `quota COUNT/day|week|month|year { timezone ZONE; starts DAY; }`.
    private init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        let directive = directive.block == nil ? Directive(name: directive.name, arguments: directive.arguments, block: []) : directive
        guard directive.hasArguments(1...1, "COUNT/day|week|month|year { … }", diagnostics) else { return nil }
        let word = directive.arguments[0]
        let parts = word.text.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2, let count = UInt64(parts[0]), 1...4_000_000_000 ~= count, let unit = LocalCalendar.Unit(rawValue: parts[1])
        else {
            diagnostics.error("'\(word.text)' is not a quota", at: word, hint: "write 100000/month; also day, week and year")
            return nil
        }
        let block = Block(of: directive, title: "a quota", diagnostics)
        var zone = "UTC"
        if let word = block.one("timezone")?.word("ZONE", diagnostics) {
            zone = word.text
            if !LocalCalendar.hasZone(zone) {
                diagnostics.error(
                    "the system knows no time zone '\(zone)'", at: word, hint: "write one such as Europe/Berlin; Debian has them in tzdata")
            }
        }
        let starts = block.one("starts")
        var first = 1
        switch unit {
        case .month: first = starts?.integer(1...31, diagnostics) ?? 1
        case .week:
            let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
            first = starts?.choice(Dictionary(uniqueKeysWithValues: days.enumerated().map { ($1, $0 + 1) }), diagnostics) ?? 1
        case .day, .year:
            if let starts {
                diagnostics.error("starts is for months and weeks", at: starts.name, hint: "remove it")
            }
        }
        block.finish()
        guard diagnostics.count == errors else { return nil }
        let (seconds, known): (UInt64, Int) =
            switch unit {
            case .day: (86_400, 4_000)
            case .week: (7 * 86_400, 1_000)
            case .month: (30 * 86_400, 600)
            case .year: (365 * 86_400, 60)
            }
        let beginnings = LocalCalendar.starts(
            of: unit, first: first, zone: zone, around: Int64(clamping: Clock.wallSeconds()), count: known)
        let day =
            unit == .month && first > 1
            ? " from day \(first)" : unit == .week && first > 1 ? " from \(starts?.arguments[0].text ?? "")" : ""
        self.init(
            .calendar(Periods(beginnings, title: unit.rawValue + day + (zone == "UTC" ? "" : " in \(zone)"))), count: count,
            length: seconds * 1_000)
    }
}
