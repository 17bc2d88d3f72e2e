import Bytes

/// A JSON value as the reader gives it. Members keep their order; their names are unique.
package enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object([Member])

    package struct Member: Equatable, Sendable {
        package let name: String
        package let value: JSONValue

        package init(name: String, value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    package subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name.isExactly(name) }?.value
    }

    /// The member of an object, or the element of an array, that a part of a JSON Pointer names (RFC 6901 §4).
    func member(_ part: String) -> JSONValue? {
        guard case .array(let elements) = self else { return self[part] }
        guard part.utf8.allSatisfy(ASCII.isDigit), part == "0" || part.utf8.first != 0x30, let index = Int(part),
            elements.indices.contains(index)
        else { return nil }
        return elements[index]
    }

    package var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    /// The elements, if they are all strings.
    package var strings: [String]? {
        guard case .array(let values) = self else { return nil }
        var result: [String] = []
        for value in values {
            guard case .string(let text) = value else { return nil }
            result.append(text)
        }
        return result
    }

    package var number: JSONNumber? {
        if case .number(let number) = self { number } else { nil }
    }
}

/// A number, with its spelling.
package struct JSONNumber: Equatable, Sendable {
    package let text: String
    package let value: Double

    package init(text: String, value: Double) {
        self.text = text
        self.value = value
    }

    /// Seconds since 1970 as JWT has them (RFC 7519 §2): not negative, a fraction is cut off.
    package var numericDate: UInt64? {
        guard value.isFinite, value >= 0, value < 1e15 else { return nil }
        return UInt64(value)
    }
}
