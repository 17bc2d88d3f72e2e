import Bytes

/// Cuts the text into words and punctuation, by nginx's rules: `;` `{` `}` stand for themselves outside quotes, `#`
/// starts a comment where a word could start, `\` takes the next character as it is within quotes.
struct Lexer {
    enum Token {
        case word(Word)
        case semicolon(Position)
        case open(Position)
        case close(Position)
        case end(Position)
    }

    private let bytes: [UInt8]
    private let file: Int
    /// Nil where variables are not looked up: for who only wants to know where words stand.
    private let environment: [String: String]?
    private let diagnostics: Diagnostics
    private var index = 0

    init(bytes: [UInt8], file: Int, environment: [String: String]?, diagnostics: Diagnostics) {
        self.bytes = bytes
        self.file = file
        self.environment = environment
        self.diagnostics = diagnostics
    }

    mutating func next() -> Token {
        skipBlank()
        let start = index
        guard index < bytes.count else { return .end(position(from: max(0, bytes.count - 1), length: 1)) }
        switch bytes[index] {
        case 0x3B:
            index += 1
            return .semicolon(position(from: start, length: 1))
        case 0x7B:
            index += 1
            return .open(position(from: start, length: 1))
        case 0x7D:
            index += 1
            return .close(position(from: start, length: 1))
        case 0x22, 0x27: return quoted(by: bytes[index])
        default: return bare()
        }
    }

    private mutating func skipBlank() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            case 0x23: while index < bytes.count, bytes[index] != 0x0A { index += 1 }
            default: return
            }
        }
    }

    /// A bare word ends at white space, `;`, `}` or a `{`; the braces of `${NAME}` and of a path's `{name}` belong to it.
    private mutating func bare() -> Token {
        let start = index
        var text: [UInt8] = []
        scan: while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D, 0x3B, 0x7D: break scan
            case 0x24 where index + 1 < bytes.count && bytes[index + 1] == 0x7B: environmentVariable(into: &text)
            case 0x7B:
                guard let close = closingBraceOfName() else { break scan }
                text.append(contentsOf: bytes[index...close])
                index = close + 1
            default:
                text.append(byte)
                index += 1
            }
        }
        return .word(word(text, from: start, isQuoted: false))
    }

    private mutating func quoted(by quote: UInt8) -> Token {
        let start = index
        var text: [UInt8] = []
        index += 1
        while index < bytes.count, bytes[index] != quote {
            if bytes[index] == 0x5C, index + 1 < bytes.count {
                let escaped = bytes[index + 1]
                text.append(escaped == UInt8(ascii: "n") ? 0x0A : escaped == UInt8(ascii: "t") ? 0x09 : escaped)
                index += 2
            } else if bytes[index] == 0x24, index + 1 < bytes.count, bytes[index + 1] == 0x7B {
                environmentVariable(into: &text)
            } else {
                text.append(bytes[index])
                index += 1
            }
        }
        if index == bytes.count {
            diagnostics.error(
                "this quotation is never closed", at: position(from: start, length: 1),
                hint: "close it with \(quote == 0x22 ? "\"" : "'")")
        } else {
            index += 1
        }
        return .word(word(text, from: start, isQuoted: true))
    }

    /// `{name}` within a word, as route patterns have it: the index of its `}`; nil when this `{` opens a block.
    private func closingBraceOfName() -> Int? {
        var end = index + 1
        while end < bytes.count, ASCII.isUnreserved(bytes[end]) { end += 1 }
        return end > index + 1 && end < bytes.count && bytes[end] == 0x7D ? end : nil
    }

    private mutating func environmentVariable(into text: inout [UInt8]) {
        let start = index
        var end = index + 2
        while end < bytes.count, bytes[end] != 0x7D, bytes[end] != 0x0A { end += 1 }
        guard end < bytes.count, bytes[end] == 0x7D else {
            diagnostics.error("${ is never closed", at: position(from: start, length: 2), hint: "write ${NAME}")
            index = end
            return
        }
        let name = String(decoding: bytes[(start + 2)..<end], as: UTF8.self)
        index = end + 1
        guard let environment else { return }
        if let value = environment[name] {
            text.append(contentsOf: value.utf8)
            diagnostics.hide(value, spelling: "${\(name)}")
        } else {
            diagnostics.error(
                "the environment variable \(name) is not set", at: position(from: start, length: index - start),
                hint: "set it for the service, or write the value itself")
        }
    }

    private func word(_ text: [UInt8], from start: Int, isQuoted: Bool) -> Word {
        let place = position(from: start, length: index - start)
        if text.contains(where: { $0 < 0x20 && $0 != 0x09 && $0 != 0x0A || $0 == 0x7F }) {
            diagnostics.error("this word holds a control character", at: place)
        }
        if String(validating: text, as: UTF8.self) == nil { diagnostics.error("this word is not UTF-8 text", at: place) }
        return Word(text: String(decoding: text, as: UTF8.self), position: place, isQuoted: isQuoted)
    }

    private func position(from start: Int, length: Int) -> Position {
        Position(file: file, offset: start, length: length)
    }
}
