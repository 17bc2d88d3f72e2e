/// The claims of a token whose signature and times were checked.
package struct Claims: Sendable {
    private let object: JSONValue

    package init(_ object: JSONValue) { self.object = object }

    package subscript(_ name: String) -> JSONValue? { object[name] }

    /// A claim as the texts that it stands for: one for a string, number or boolean, several for an array of those; nil
    /// when it is absent or holds anything else.
    package func texts(_ name: String) -> [String]? {
        guard let value = object[name] else { return nil }
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

    /// The scopes under the first of `names` that is there: an array of strings, or one string with spaces (RFC 8693 §4.2).
    package func scopes(_ names: [String]) -> [String] {
        for name in names {
            guard let value = object[name] else { continue }
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
