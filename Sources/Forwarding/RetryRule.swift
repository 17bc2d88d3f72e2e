import ConfigFile
import HTTPMessage
import System
package import Time

/// `retry { … }`: which requests go to a server once more, besides those that never set out.
package struct RetryRule: Sendable, Equatable {
    /// For what a request goes out again.
    package struct Conditions: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }

        /// The connection ended before a response.
        static let reset = Conditions(rawValue: 1)
        /// No response within `answer_timeout`, which each try has for itself.
        static let timeout = Conditions(rawValue: 2)
        static let status502 = Conditions(rawValue: 4)
        static let status503 = Conditions(rawValue: 8)
        static let status504 = Conditions(rawValue: 16)

        static let names: [String: Conditions] = [
            "reset": .reset, "timeout": .timeout, "502": .status502, "503": .status503, "504": .status504,
            // What never set out, and what a server says it did nothing about, is sent again in any case.
            "connect": [], "refused_stream": [],
        ]

        static func of(status: Int) -> Conditions {
            switch status {
            case 502: .status502
            case 503: .status503
            case 504: .status504
            default: []
            }
        }
    }

    /// How often a request goes out, in all.
    package var tries = 2
    package var conditions: Conditions = [.reset, .status502, .status503, .status504]
    /// Retries, in hundredths of the requests, and how many in a second at least.
    package var budgetPercent = 20
    package var budgetMin = 3
    /// The longest silence of a server about one try; nil for `answer_timeout`.
    package var perTry: Nanoseconds?
    /// How long a request waits before it goes to the same server again, or out a third time; then twice as long each time.
    package var backoff = Nanoseconds.milliseconds(25)
    /// Whether requests are repeated too whose method does not say that it does no harm.
    package var takesAllMethods = false

    /// Nil where a part of it is wrong.
    init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        let block = Block(of: directive, title: "retry", diagnostics)
        tries = block.one("tries")?.integer(2...10, diagnostics) ?? tries
        if let on = block.one("on") {
            conditions = []
            for word in on.words("CONDITION …", diagnostics) {
                if let condition = Conditions.names[word.text] {
                    conditions.formUnion(condition)
                } else {
                    diagnostics.error(
                        "'\(word.text)' is no reason to try again", at: word,
                        hint: "there are: \(Conditions.names.keys.sorted().joined(separator: ", "))")
                }
            }
        }
        if let budget = block.one("budget") { readBudget(budget, diagnostics) }
        if let directive = block.one("per_try") {
            perTry = directive.duration(diagnostics, in: .milliseconds(1)...(.seconds(3_600))).map { Nanoseconds($0) }
            if !conditions.contains(.timeout) {
                diagnostics.error(
                    "a try that takes too long is not tried again here", at: directive.name,
                    hint: "add timeout: on reset timeout 502 503 504;")
            }
        }
        if let given = block.one("backoff")?.duration(diagnostics, in: .zero...(.seconds(10))) { backoff = Nanoseconds(given) }
        takesAllMethods = block.one("methods")?.choice(["idempotent": false, "all": true], diagnostics) ?? false
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    /// `budget 20% min 3/s;`
    private mutating func readBudget(_ directive: Directive, _ diagnostics: Diagnostics) {
        let words = directive.words("PERCENT% min COUNT/s", diagnostics).map(\.text)
        guard words.count == 3, words[1] == "min", words[0].hasSuffix("%"), words[2].hasSuffix("/s"),
            let percent = Int(words[0].dropLast()),
            (0...100).contains(percent), let least = Int(words[2].dropLast(2)), (0...100_000).contains(least)
        else { return diagnostics.error("'budget' has another form", at: directive.name, hint: "write: budget 20% min 3/s;") }
        (budgetPercent, budgetMin) = (percent, least)
    }

    /// How long to wait before the n-th repetition: half of it by chance, so that many do not come back at once.
    func backoff(before repetition: Int) -> Nanoseconds {
        let whole = min(backoff * (1 << UInt64(min(max(repetition, 1) - 1, 16))), backoffMax)
        return Nanoseconds(whole.count - SystemRandom.word() % (whole.count / 2 + 1))
    }

    func takes(_ method: Method) -> Bool { takesAllMethods || method.isIdempotent }
}

private let backoffMax = Nanoseconds.seconds(10)
