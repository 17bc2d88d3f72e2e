/// The claims of a token whose signature and times were checked.
package struct Claims: Sendable {
    private let object: JSONValue

    package init(_ object: JSONValue) { self.object = object }

    /// A claim by its name, or where the name begins with a slash by its place among nested ones (JSON Pointer, RFC 6901).
    package subscript(_ name: String) -> JSONValue? {
        guard name.utf8.first == 0x2F else { return object[name] }
        var value = object
        for part in Self.path(name) {
            guard let next = value.member(part) else { return nil }
            value = next
        }
        return value
    }

    /// The names on the way to a claim: one, or the parts of a JSON Pointer.
    static func path(_ name: String) -> [String] {
        guard name.utf8.first == 0x2F else { return [name] }
        return name.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
            String($0).replacing("~1", with: "/").replacing("~0", with: "~")
        }
    }

    /// A claim as the texts that it stands for: one for a string, number or boolean, several for an array of those; nil
    /// when it is absent or holds anything else.
    package func texts(_ name: String) -> [String]? {
        guard let value = self[name] else { return nil }
        if case .array(let elements) = value {
            var result: [String] = []
            for element in elements {
                guard let text = Self.text(element) else { return nil }
                result.append(text)
            }
            return result
        }
        return Self.text(value).map { [$0] }
    }

    /// Whether a claim is an array, whose elements are told apart wherever they are joined.
    package func isArray(_ name: String) -> Bool { if case .array = self[name] { true } else { false } }

    /// The scopes under the first of `names` that is there: an array of strings, or one string with spaces (RFC 8693 §4.2).
    package func scopes(_ names: [String]) -> [String] {
        for name in names {
            guard let value = self[name] else { continue }
            if let text = value.string { return text.split(separator: " ").map(String.init) }
            return value.strings ?? []
        }
        return []
    }

    private static func text(_ value: JSONValue) -> String? {
        switch value {
        case .string(let text): text
        case .number(let number): number.text
        case .bool(let flag): flag ? "true" : "false"
        case .null, .array, .object: nil
        }
    }
}
