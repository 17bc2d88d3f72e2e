/// What was found of a server that was asked.
package struct LiveFinding: Equatable, Sendable {
    package enum Severity: Sendable { case good, warning, error }

    package let severity: Severity
    package let text: String
    /// What to do about it; nil where there is nothing to do.
    package let hint: String?

    init(_ severity: Severity, _ text: String, hint: String? = nil) {
        self.severity = severity
        self.text = text
        self.hint = hint
    }
}
