import Bytes
import HTTPMessage

package enum JSONError: String, Error, Sendable {
    case malformed, duplicateName, tooDeep, tooLarge
}

/// Reads one JSON text, strictly: no duplicate names, no trailing bytes, valid UTF-8, bounded depth and size.
///
/// Foundation's decoder cannot see duplicate names, which two readers of one token may resolve differently (RFC 7515 §4,
/// RFC 8725 §2.4). Source: RFC 8259.
package struct JSONReader {
    private let bytes: [UInt8]
    private var index = 0
    private var values = 0

    private let valuesMax: Int

    private init(_ bytes: [UInt8], valuesMax: Int) {
        self.bytes = bytes
        self.valuesMax = valuesMax
    }

    /// - Parameter valuesMax: objects, arrays, strings, numbers and words in all.
    package static func read(_ bytes: [UInt8], valuesMax: Int = 8_192) throws(JSONError) -> JSONValue {
        var reader = JSONReader(bytes, valuesMax: valuesMax)
        reader.skipSpace()
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.index == bytes.count else { throw .malformed }
        return value
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth < Limits.jsonDepthMax else { throw .tooDeep }
        values += 1
        guard values <= valuesMax else { throw .tooLarge }
        guard index < bytes.count else { throw .malformed }
        switch bytes[index] {
        case 0x7B: return try object(depth)
        case 0x5B: return try array(depth)
        case 0x22: return .string(try string())
        case UInt8(ascii: "t"):
            try word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            return .null
        default: return .number(try number())
        }
    }

    private mutating func object(_ depth: Int) throws(JSONError) -> JSONValue {
        index += 1
        var members: [JSONValue.Member] = []
        var names: Set<String> = []
        skipSpace()
        if take(0x7D) { return .object([]) }
        while true {
            skipSpace()
            guard index < bytes.count, bytes[index] == 0x22 else { throw .malformed }
            let name = try string()
            guard members.count < Limits.jsonMembersMax else { throw .tooLarge }
            // Few are compared one by one, which is cheaper than to hash them.
            if members.count == comparedMax { names = Set(members.map(\.name)) }
            let isNew = members.count < comparedMax ? !members.contains { $0.name == name } : names.insert(name).inserted
            guard isNew else { throw .duplicateName }
            skipSpace()
            guard take(0x3A) else { throw .malformed }
            skipSpace()
            members.append(JSONValue.Member(name: name, value: try value(depth: depth + 1)))
            skipSpace()
            if take(0x7D) { return .object(members) }
            guard take(0x2C) else { throw .malformed }
        }
    }

    private mutating func array(_ depth: Int) throws(JSONError) -> JSONValue {
        index += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take(0x5D) { return .array([]) }
        while true {
            skipSpace()
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take(0x5D) { return .array(elements) }
            guard take(0x2C) else { throw .malformed }
        }
    }

    private mutating func string() throws(JSONError) -> String {
        index += 1
        var text: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case 0x22:
                guard let string = String(validating: text, as: UTF8.self) else { throw .malformed }
                return string
            case 0x5C: try escape(into: &text)
            case 0..<0x20: throw .malformed
            default: text.append(byte)
            }
        }
        throw .malformed
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard index < bytes.count else { throw .malformed }
        let byte = bytes[index]
        index += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = try hexadecimal()
            if 0xD800..<0xDC00 ~= scalar {
                guard take(0x5C), take(UInt8(ascii: "u")) else { throw .malformed }
                let low = try hexadecimal()
                guard 0xDC00..<0xE000 ~= low else { throw .malformed }
                scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let character = Unicode.Scalar(scalar) else { throw .malformed }
            text.append(contentsOf: String(Character(character)).utf8)
        default: throw .malformed
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        guard bytes.count - index >= 4 else { throw .malformed }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = ASCII.hexValue(bytes[index]) else { throw .malformed }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    private mutating func number() throws(JSONError) -> JSONNumber {
        let start = index
        _ = take(0x2D)
        guard index < bytes.count, ASCII.isDigit(bytes[index]) else { throw .malformed }
        if !take(0x30) { digits() }
        if take(0x2E) { try someDigits() }
        if index < bytes.count, bytes[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if !take(0x2B) { _ = take(0x2D) }
            try someDigits()
        }
        guard index - start <= numberBytesMax else { throw .tooLarge }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        guard let value = Double(text) else { throw .malformed }
        return JSONNumber(text: text, value: value)
    }

    private mutating func digits() { while index < bytes.count, ASCII.isDigit(bytes[index]) { index += 1 } }

    private mutating func someDigits() throws(JSONError) {
        let start = index
        digits()
        guard index > start else { throw .malformed }
    }

    private mutating func word(_ text: String) throws(JSONError) {
        for byte in text.utf8 { guard take(byte) else { throw .malformed } }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard index < bytes.count, bytes[index] == byte else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 || bytes[index] == 0x0A || bytes[index] == 0x0D {
            index += 1
        }
    }
}

private let numberBytesMax = 64
private let comparedMax = 12
