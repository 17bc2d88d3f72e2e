package import Observability

extension LogLevel {
    /// What a message of the kind ``MessageKind/logLevel`` says; nil for one that says nothing.
    package init?(message: [UInt8]) {
        guard message.count == 2, let level = LogLevel(rawValue: message[1]) else { return nil }
        self = level
    }
}

/// Something that the program has said, as a process remembers it for those that come after it.
package enum EventMessage {
    /// Begins such messages, behind the kind ``MessageKind/remember``.
    package static let word = "event"

    package static func output(_ event: ProgramEvent) -> [UInt8] {
        var message = MessageWriter(.remember)
        message.text(word)
        message.number(event.at)
        message.number(UInt64(event.level.rawValue))
        message.text(event.source)
        message.text(event.text)
        return message.output
    }

    /// Reads what follows the word.
    package static func read(_ reader: inout MessageReader) -> ProgramEvent? {
        guard let at = reader.number(), let level = reader.number().flatMap({ UInt8(exactly: $0) }).flatMap({ LogLevel(rawValue: $0) }),
            let source = reader.text(), let text = reader.text()
        else { return nil }
        return ProgramEvent(at: at, level, by: source, text)
    }
}
