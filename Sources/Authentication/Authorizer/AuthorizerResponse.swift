import Bytes

/// The response of an external authorizer, as far as it says who may come.
package struct AuthorizerResponse {
    package let status: Int
    /// The values of all fields of a name, whatever its case.
    package let values: (_ name: String) -> [[UInt8]]

    package init(status: Int, values: @escaping (_ name: String) -> [[UInt8]]) {
        self.status = status
        self.values = values
    }

    /// Why it says nothing.
    struct Unusable: Error {
        let reason: String
    }

    /// The claims of a response that lets in.
    func claims(_ fields: [Authorizer.ClaimField]) throws(Unusable) -> Claims {
        var members: [JSONValue.Member] = []
        for field in fields {
            let values = values(field.field)
            guard let first = values.first else { continue }
            if let separator = field.separator {
                var elements: [JSONValue] = []
                for value in values {
                    for part in try text(value, field.field).split(separator: separator) {
                        let element = part.trimmingSpaces
                        if !element.isEmpty { elements.append(.string(element)) }
                    }
                }
                members.append(JSONValue.Member(name: field.claim, value: .array(elements)))
                continue
            }
            guard values.allSatisfy({ $0 == first }) else { throw Unusable(reason: "its response has two different fields \(field.field)") }
            // An empty field says as much as none.
            if !first.isEmpty { members.append(JSONValue.Member(name: field.claim, value: .string(try text(first, field.field)))) }
        }
        return Claims(.object(members))
    }

    private func text(_ value: [UInt8], _ name: String) throws(Unusable) -> String {
        guard let text = String(validating: value, as: UTF8.self) else {
            throw Unusable(reason: "the value of its field \(name) is not UTF-8")
        }
        return text
    }

    /// Whole lines of the fields that reach the client.
    func lines(_ names: [String]) -> [UInt8] {
        var lines: [UInt8] = []
        for name in names {
            for value in values(name) {
                lines.append("\(name): ")
                lines += value
                lines.append("\r\n")
            }
        }
        return lines
    }

    /// How long it may be kept by its own word, in seconds; nil for no word (RFC 9111 §5.2.2).
    var secondsKept: UInt64? {
        var seconds: UInt64?
        for value in values("cache-control") {
            for part in String(decoding: value, as: UTF8.self).lowercased().split(separator: ",") {
                let directive = part.trimmingSpaces
                if directive == "no-store" || directive == "no-cache" || directive.hasPrefix("no-cache=") { return 0 }
                guard directive.hasPrefix("max-age=") else { continue }
                let given = UInt64(directive.dropFirst(8).filter { $0 != "\"" }) ?? 0
                seconds = min(seconds ?? given, given)
            }
        }
        return seconds
    }
}

extension Substring {
    fileprivate var trimmingSpaces: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
