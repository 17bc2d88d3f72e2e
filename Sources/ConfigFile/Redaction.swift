/// Values that came from the environment, with the words that stand for them in the file: one may be a password, and nothing that is
/// printed shows it.
package struct Redaction: Sendable {
    private var pairs: [(value: String, spelling: String)] = []

    package init() {}

    mutating func hide(_ value: String, spelling: String) {
        // Shorter ones are numbers and words that stand elsewhere too.
        if value.utf8.count >= 4 { pairs.append((value, spelling)) }
    }

    package func callAsFunction(_ text: String) -> String {
        pairs.reduce(text) { text, pair in text.replacing(pair.value, with: pair.spelling) }
    }
}
