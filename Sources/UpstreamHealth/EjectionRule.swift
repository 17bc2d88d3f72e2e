package import ConfigFile
package import Time

/// `ejection { … }`: when a server that fails is given no requests for a while.
package struct EjectionRule: Sendable, Equatable {
    /// Failures in a row; 0 for no bound.
    package var consecutive = 5
    /// The share of requests that fail, in hundredths, among at least so many in a time; 0 for no bound.
    package var percent = 50
    package var requests = 20
    package var window = Nanoseconds.seconds(10)
    /// How long the first time; each further one twice as long, up to `longest`.
    package var length = Nanoseconds.seconds(10)
    package var longest = Nanoseconds.seconds(300)
    /// The share of a group's servers that may be without requests at once, in hundredths.
    package var atMostPercent = 50

    package init() {}

    /// Reads the directive; nil for `ejection off;`, and where a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        if directive.arguments.map(\.text) == ["off"], directive.block == nil { return nil }
        let errors = diagnostics.count
        _ = directive.hasArguments(0...0, "{ … } or off", diagnostics)
        let block = Block(of: directive, title: "ejection", diagnostics)
        if let given = block.one("consecutive")?.integer(0...1_000, diagnostics) { consecutive = given }
        if let rate = block.one("rate") { readRate(rate, diagnostics) }
        func length(_ name: String, _ value: inout Nanoseconds) {
            if let given = block.one(name)?.duration(diagnostics, in: .milliseconds(100)...(.seconds(86_400))) {
                value = Nanoseconds(given)
            }
        }
        length("for", &self.length)
        length("max", &longest)
        if let word = block.one("at_most")?.word("PERCENT%", diagnostics) {
            atMostPercent = readPercent(word, diagnostics) ?? atMostPercent
        }
        if longest < self.length { diagnostics.error("max is shorter than for", at: directive.name) }
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    /// Reads `breaker { rate 50% of 20 in 10s; open 10s; }`: all servers of an upstream as one, which is closed to requests where too many
    /// fail; nil where a part of it is wrong.
    package init?(breaker directive: Directive, _ diagnostics: Diagnostics) {
        let errors = diagnostics.count
        _ = directive.hasArguments(0...0, "{ … }", diagnostics)
        let block = Block(of: directive, title: "breaker", diagnostics)
        consecutive = 0
        if let rate = block.one("rate") { readRate(rate, diagnostics) }
        if percent == 0, let rate = block.one("rate") {
            diagnostics.error("a breaker goes by the rate alone", at: rate.name, hint: "leave the breaker out where none is wanted")
        }
        let open = block.one("open")?.duration(diagnostics, in: .milliseconds(100)...(.seconds(3_600)))
        length = open.map { Nanoseconds($0) } ?? length
        longest = length
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    /// `rate off;` or `rate 50% of 20 in 10s;`.
    private mutating func readRate(_ directive: Directive, _ diagnostics: Diagnostics) {
        let words = directive.words("PERCENT% of REQUESTS in TIME, or off", diagnostics)
        if words.map(\.text) == ["off"] {
            percent = 0
            return
        }
        guard words.count == 5, words[1].text == "of", words[3].text == "in", let share = readPercent(words[0], diagnostics),
            let count = Int(words[2].text), (1...100_000).contains(count),
            let time = Directive(name: directive.name, arguments: [words[4]], block: nil).duration(
                diagnostics, in: .seconds(1)...(.seconds(3_600)))
        else { return diagnostics.error("'rate' has another form", at: directive.name, hint: "write: rate 50% of 20 in 10s;") }
        (percent, requests, window) = (share, count, Nanoseconds(time))
    }

    private func readPercent(_ word: Word, _ diagnostics: Diagnostics) -> Int? {
        guard word.text.hasSuffix("%"), let number = Int(word.text.dropLast()), (1...100).contains(number) else {
            diagnostics.error("'\(word.text)' is not a share", at: word, hint: "write a number from 1% to 100%")
            return nil
        }
        return number
    }

    /// How long a server is without requests the n-th time.
    package func length(ofEjection number: UInt64) -> Nanoseconds {
        let doublings = min(max(number, 1) - 1, 20)
        return min(length * (1 << doublings), longest)
    }
}
