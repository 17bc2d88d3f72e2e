import Bytes
package import ConfigFile
package import HTTPMessage

/// Origins that a directive names: `https://app.example.com`, or all below a domain, `https://*.example.com`.
///
/// Compared in one form: host in lower case, the port always told. Source: RFC 6454 §4, §6.
package struct Origins: Sendable, Equatable {
    private var exact: Set<[UInt8]> = []
    /// What the origins below a domain end with, from the dot on, behind what tells their scheme.
    private var below: Set<[UInt8]> = []

    package init() {}

    /// Reads the arguments of directives.
    package init(_ words: [Word], _ diagnostics: Diagnostics) {
        for word in words where !insert(word.text) {
            diagnostics.error(
                "'\(word.text)' is not an origin", at: word,
                hint: "write https://app.example.com, or https://*.example.com for all below a domain, without a path")
        }
    }

    /// All of them, in one order.
    package var text: String {
        (exact.map { $0 } + below.map { [0x2A] + $0 }).map { String(decoding: $0, as: UTF8.self) }.sorted().joined(separator: " ")
    }

    package var isEmpty: Bool { exact.isEmpty && below.isEmpty }

    /// False where the text is no origin.
    @discardableResult
    package mutating func insert(_ text: String) -> Bool {
        guard text.contains("://*.") else {
            let bytes = [UInt8](text)
            guard let origin = Self.origin(bytes.span) else { return false }
            exact.insert(origin)
            return true
        }
        let bytes = [UInt8](text.replacing("://*.", with: "://any.", maxReplacements: 1))
        guard let origin = Self.origin(bytes.span), let dot = origin.firstIndex(of: 0x2E) else { return false }
        // Only below a domain: a top-level domain or an IP network is no site.
        let labels = origin[(dot + 1)...].prefix { $0 != 0x3A }.split(separator: 0x2E)
        guard labels.count > 1 || labels.first.map({ $0.elementsEqual("localhost".utf8) }) ?? false,
            !(labels.last?.allSatisfy(ASCII.isDigit) ?? true)
        else { return false }
        below.insert(Array(origin[..<Self.schemeBytes(origin)] + origin[dot...]))
        return true
    }

    /// Whether the one Origin field of a request names one of them.
    package func name(originOf head: borrowing RequestHead) -> Bool {
        guard !isEmpty, let origin = Self.origin(of: head) else { return false }
        return exact.contains(origin) || isBelow(origin)
    }

    private func isBelow(_ origin: [UInt8]) -> Bool {
        below.contains { suffix in
            let scheme = Self.schemeBytes(origin)
            return scheme == Self.schemeBytes(suffix) && origin.count > suffix.count
                && origin[(origin.count - suffix.count + scheme)...].elementsEqual(suffix[scheme...])
        }
    }

    /// Whether all of them are among others.
    package func areAll(in others: Origins) -> Bool {
        exact.allSatisfy { others.exact.contains($0) || others.isBelow($0) }
            && below.allSatisfy { others.below.contains($0) || others.isBelow($0) }
    }

    /// The origin that a request's one Origin field names; nil for none, for several and for `null`.
    static func origin(of head: borrowing RequestHead) -> [UInt8]? {
        guard head.fields.count(of: .origin) == 1, let range = head.value(.origin) else { return nil }
        return origin(head.bytes.extracting(range))
    }

    static func origin(isHTTPS: Bool, _ bytes: Span<UInt8>) -> [UInt8]? {
        guard let authority = Authority(bytes) else { return nil }
        var origin: [UInt8] = isHTTPS ? [UInt8(ascii: "s"), 0x2F] : [0x2F]
        authority.appendHost(of: bytes, to: &origin)
        origin.append(0x3A)
        origin.append(decimal: UInt64(authority.port ?? (isHTTPS ? 443 : 80)))
        return origin
    }

    private static func origin(_ text: Span<UInt8>) -> [UInt8]? {
        let scheme = text.hasPrefix("https://") ? 8 : text.hasPrefix("http://") ? 7 : 0
        guard scheme > 0 else { return nil }
        return origin(isHTTPS: scheme == 8, text.extracting(scheme..<text.count))
    }

    private static func schemeBytes(_ origin: [UInt8]) -> Int { origin.first == 0x2F ? 1 : 2 }
}
