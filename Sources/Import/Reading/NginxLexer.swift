import ConfigFile

/// Cuts the text of an nginx.conf into words and punctuation, as nginx itself does (ngx_conf_read_token).
///
/// A word ends at white space, `;` or `{`; a `{` behind a `$`, and a `}` within a word, belong to it. Quotes count only where a word begins.
struct NginxLexer {
    enum Token: Equatable {
        case word(String)
        case semicolon, open, close, end
        /// The text of a comment.
        case comment(String)
        /// What stands between the braces of a block of Lua.
        case foreignCode
    }

    /// What nginx would refuse.
    struct Problem: Error {
        let message: String
        let line: Int
    }

    private let bytes: [UInt8]
    private var index = 0
    /// Of the next byte, from 1.
    private(set) var line = 1
    /// Of the last token's first byte.
    private(set) var tokenLine = 1

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func next() throws(Problem) -> Token {
        while index < bytes.count, Self.isBlank(bytes[index]) { step() }
        tokenLine = line
        guard index < bytes.count else { return .end }
        switch bytes[index] {
        case UInt8(ascii: ";"):
            step()
            return .semicolon
        case UInt8(ascii: "{"):
            step()
            return .open
        case UInt8(ascii: "}"):
            step()
            return .close
        case UInt8(ascii: "#"):
            let start = index + 1
            while index < bytes.count, bytes[index] != 0x0A { step() }
            return .comment(Self.text(bytes[start..<index]))
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return try quoted(by: bytes[index])
        default: return try bare()
        }
    }

    /// Passes over a block in another language up to the brace that closes it; the opening one is consumed already.
    ///
    /// Knows the strings and comments of Lua, in which braces do not count.
    mutating func skipForeignCode() throws(Problem) -> Token {
        var depth = 1
        let start = line
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "-"), at(1) == byte {
                step(2)
                if !skipLongBracket() { while index < bytes.count, bytes[index] != 0x0A { step() } }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                step()
                while index < bytes.count, bytes[index] != byte, bytes[index] != 0x0A {
                    step(bytes[index] == UInt8(ascii: "\\") ? 2 : 1)
                }
                step()
            } else if byte == UInt8(ascii: "["), skipLongBracket() {
                continue
            } else {
                step()
                if byte == UInt8(ascii: "{") { depth += 1 }
                if byte == UInt8(ascii: "}") { depth -= 1 }
                if depth == 0 { return .foreignCode }
            }
        }
        throw Problem(message: "this block is never closed", line: start)
    }

    /// Passes over `[[ … ]]` or `[=[ … ]=]` that stands here; false where none does.
    private mutating func skipLongBracket() -> Bool {
        var level = 0
        guard at(0) == UInt8(ascii: "[") else { return false }
        while at(1 + level) == UInt8(ascii: "=") { level += 1 }
        guard at(1 + level) == UInt8(ascii: "[") else { return false }
        step(2 + level)
        let close = [UInt8(ascii: "]")] + [UInt8](repeating: UInt8(ascii: "="), count: level) + [UInt8(ascii: "]")]
        while index < bytes.count {
            if bytes[index...].starts(with: close) {
                step(close.count)
                return true
            }
            step()
        }
        return true
    }

    private mutating func quoted(by quote: UInt8) throws(Problem) -> Token {
        let start = line
        step()
        var text: [UInt8] = []
        while index < bytes.count, bytes[index] != quote { take(into: &text) }
        guard index < bytes.count else { throw Problem(message: "this quotation is never closed", line: start) }
        step()
        // nginx takes white space, an end or a parenthesis here.
        if let following = at(0), !Self.isBlank(following), !";{)".utf8.contains(following) {
            throw Problem(message: "a word follows a quotation without a space", line: line)
        }
        return .word(Self.text(text[...]))
    }

    private mutating func bare() throws(Problem) -> Token {
        var text: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            if Self.isBlank(byte) || byte == UInt8(ascii: ";") { break }
            if byte == UInt8(ascii: "{"), text.last != UInt8(ascii: "$") { break }
            take(into: &text)
        }
        return .word(Self.text(text[...]))
    }

    /// Takes one character, or an escaped one. nginx takes the backslash away only before what it knows.
    private mutating func take(into text: inout [UInt8]) {
        guard bytes[index] == UInt8(ascii: "\\"), let escaped = at(1) else {
            text.append(bytes[index])
            return step()
        }
        switch escaped {
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"): text.append(escaped)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "n"): text.append(0x0A)
        default: text += [UInt8(ascii: "\\"), escaped]
        }
        step(2)
    }

    private func at(_ distance: Int) -> UInt8? { index + distance < bytes.count ? bytes[index + distance] : nil }

    private mutating func step(_ count: Int = 1) {
        for _ in 0..<count where index < bytes.count {
            if bytes[index] == 0x0A { line += 1 }
            index += 1
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
