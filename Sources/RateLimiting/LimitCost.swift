package import ConfigFile

/// For how many requests one counts: `cost 5;`, `cost response_header NAME max COUNT;`, `cost response_bytes/SIZE max COUNT;`.
///
/// What the response decides is charged when it is known; before, the request has paid for one. Where the quota has less left by then, it is used up.
package enum LimitCost: Equatable, Sendable {
    case fixed(UInt64)
    /// What a field of the upstream's response says; the client does not see the field. 1 without it. In lower case.
    case responseHeader(String, max: UInt64)
    /// One for each so many bytes of the response's body that were sent, and one at least.
    case responseBytes(per: UInt64, max: UInt64)

    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let form = "COUNT; or response_header NAME max COUNT; or response_bytes/SIZE max COUNT"
        guard directive.takes(1...4, form, diagnostics) else { return nil }
        var words = directive.arguments
        var most: UInt64 = 1_000_000_000
        if words.count > 2, words[words.count - 2].text == "max" {
            guard let count = UInt64(words[words.count - 1].text), 1...1_000_000_000 ~= count else {
                diagnostics.error("'\(words[words.count - 1].text)' is not a count", at: words[words.count - 1], hint: "write max 100")
                return nil
            }
            most = count
            words.removeLast(2)
        }
        let first = words[0]
        if words.count == 2, first.text == "response_header", !words[1].text.isEmpty,
            words[1].text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A })
        {
            self = .responseHeader(words[1].text.lowercased(), max: most)
        } else if words.count == 1, first.text.hasPrefix("response_bytes/"),
            let size = Self.size(of: String(first.text.dropFirst("response_bytes/".count))), size > 0
        {
            self = .responseBytes(per: size, max: most)
        } else if directive.arguments.count == 1, let count = UInt64(first.text), 1...1_000_000 ~= count {
            self = .fixed(count)
        } else {
            diagnostics.error(
                "'\(directive.arguments.map(\.text).joined(separator: " "))' is not a cost", at: first, hint: "write cost \(form);")
            return nil
        }
    }

    private static func size(of text: String) -> UInt64? {
        let units: [(String, UInt64)] = [("k", 1_024), ("m", 1_048_576)]
        for (unit, bytes) in units where text.hasSuffix(unit) {
            return UInt64(text.dropLast()).flatMap { 1...1_000_000 ~= $0 ? $0 * bytes : nil }
        }
        return UInt64(text).flatMap { 1...1_000_000_000_000 ~= $0 ? $0 : nil }
    }

    /// The field of the response that says it.
    package var field: String? { if case .responseHeader(let name, _) = self { name } else { nil } }

    /// How many bytes of a response count as one; nil where it is not bytes that count.
    package var bytes: UInt64? { if case .responseBytes(let size, _) = self { size } else { nil } }

    /// What is charged before the request is forwarded.
    var reserved: UInt64 { if case .fixed(let count) = self { count } else { 1 } }

    /// What is known when the response is over.
    ///
    /// - Parameter told: what the upstream has said.
    func units(told: UInt64?, bodyBytes: UInt64) -> UInt64 {
        switch self {
        case .fixed(let count): count
        case .responseHeader: told ?? 1
        case .responseBytes(let size, let most): min(most, max(1, bodyBytes / size + (bodyBytes % size > 0 ? 1 : 0)))
        }
    }

    /// For people: `costs 5`.
    package var words: String {
        switch self {
        case .fixed(let count): "costs \(count)"
        case .responseHeader(let name, _): "costs what \(name) says"
        case .responseBytes(let size, _): "costs 1 for each \(size) bytes"
        }
    }

    /// As the file says it.
    package var text: String {
        switch self {
        case .fixed(let count): "\(count)"
        case .responseHeader(let name, let most): "response_header \(name) max \(most)"
        case .responseBytes(let size, let most): "response_bytes/\(size) max \(most)"
        }
    }
}
