package import ConfigFile

/// Where the lines of a log go.
package enum LogTarget: Equatable, Sendable {
    case off, stdout, stderr
    case file(String)

    /// Reads `access_log PATH|stdout|stderr|off;`.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        guard let word = directive.word("PATH, stdout, stderr or off", diagnostics) else { return nil }
        switch word.text {
        case "off": self = .off
        case "stdout": self = .stdout
        case "stderr": self = .stderr
        default:
            guard word.text.hasPrefix("/") else {
                diagnostics.error(
                    "'\(word.text)' is not a place for a log", at: word, hint: "write a path that begins with /, stdout, stderr or off")
                return nil
            }
            self = .file(word.text)
        }
    }
}

/// What a worker leaves in its ring: lines of the two logs, and what is no line of a log.
package enum LogKind: UInt8, CaseIterable, Sendable {
    case access, security
    /// A ``SpanMessage``.
    case trace
    /// What the worker says of itself: a byte for its level, the text.
    case event
}
