import Bytes

/// How much the program says of itself.
package enum LogLevel: UInt8, CaseIterable, Sendable {
    case error, warning, info
    /// What is only worth reading while something is looked for.
    case debug

    package init?(_ word: String) {
        guard let level = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = level
    }

    package var word: String { "\(self)" }
}

/// Something that the program has said of itself.
package struct ProgramEvent: Equatable, Sendable {
    /// Seconds since 1970.
    package let at: UInt64
    package let level: LogLevel
    /// The process that said it, such as `worker 3`.
    package let source: String
    package let text: String

    /// - Parameter text: on one line; what is too long is cut.
    package init(at: UInt64, _ level: LogLevel, by source: String, _ text: String) {
        self.at = at
        self.level = level
        self.source = source
        let line = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
        self.text = line.prefix(utf8: Self.textBytesMax)
    }

    package static let textBytesMax = 1_024
}

/// Where a process says what it has to say: its parts say it here, and the process decides what becomes of it.
package final class ProgramLog {
    private let write: (LogLevel, String) -> Void
    /// What is said at present; operators change it, through the supervisor.
    package var level = LogLevel.info
    /// Where operators find it again, but for what is of the level `debug`.
    package var keep: (LogLevel, String) -> Void = { _, _ in }

    /// - Parameter write: to the process's standard error.
    package init(_ write: @escaping (LogLevel, String) -> Void) { self.write = write }

    /// One that says nothing.
    package static var silent: ProgramLog { ProgramLog { _, _ in } }

    package func say(_ level: LogLevel, _ text: String) {
        if level.rawValue <= self.level.rawValue { write(level, text) }
        if level != .debug { keep(level, text) }
    }

    package func error(_ text: String) { say(.error, text) }
    package func info(_ text: String) { say(.info, text) }
    package func warning(_ text: String) { say(.warning, text) }

    /// - Parameter text: made only where it is said.
    package func debug(_ text: () -> String) { if level == .debug { write(.debug, text()) } }
}
