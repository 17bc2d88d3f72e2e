package import ConfigFile
import Time

/// `100/minute`, `5/5m`.
struct Rate {
    let count: UInt64
    let window: Nanoseconds

    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard let word = directive.word("COUNT/TIME", diagnostics) else { return nil }
        self.init(word, diagnostics)
    }

    init?(_ word: Word, _ diagnostics: Diagnostics) {
        guard let rate = Rate(word.text) else {
            diagnostics.error("'\(word.text)' is not a rate", at: word, hint: "write 100/minute, 10/second, 5/5m")
            return nil
        }
        self = rate
    }

    init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        guard parts.count == 2, let count = UInt64(parts[0]), count > 0, count <= 1_000_000_000,
            let window = Rate.units[parts[1]] ?? Duration(word: parts[1]), window > .zero, window <= .seconds(86_400 * 31)
        else { return nil }
        self.count = count
        self.window = Nanoseconds(window)
    }

    /// Whether so many at once grow back within the time that the script can tell.
    func canHave(burst: Int) -> Bool {
        let (time, overflow) = Nanoseconds(max(1, window.count / count)).count.multipliedReportingOverflow(by: UInt64(burst))
        return !overflow && time <= Nanoseconds.seconds(1_000 * 86_400).count
    }

    private static let units: [String: Duration] = [
        "second": .seconds(1), "minute": .seconds(60), "hour": .seconds(3_600), "day": .seconds(86_400), "s": .seconds(1),
        "m": .seconds(60), "h": .seconds(3_600), "d": .seconds(86_400),
    ]
}

extension Quota {
    /// Reads `NAME COUNT/TIME;`.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard let rate = Rate(directive, diagnostics) else { return nil }
        self.init(count: rate.count, window: rate.window)
    }
}
