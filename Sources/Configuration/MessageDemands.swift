import Bytes
import ConfigFile
package import HTTP1
package import HTTPMessage

/// What a route asks of the form of a request: `require_content_type TYPE …;`, `max_query SIZE;`, `max_fields N;`.
package struct MessageDemands: Sendable, Equatable {
    /// Media types of bodies, in lower case; a subtype of `*` is any. Empty for all.
    package let contentTypes: [String]
    /// Bytes of the query, with its question mark.
    package let queryBytesMax: Int?
    /// Field lines of the head.
    package let fieldsMax: Int?

    /// What a request does not meet.
    package enum Unmet: Error, Equatable, Sendable {
        case contentType(accepted: String)
        case query
        case fields
    }

    /// Nil where a route asks for none of it.
    init?(_ block: Block, _ diagnostics: Diagnostics) {
        var types: [String] = []
        for word in block.all("require_content_type").flatMap({ $0.words("TYPE/SUBTYPE …", diagnostics) }) {
            if let type = Self.mediaType(word, diagnostics) { types.append(type) }
        }
        contentTypes = types
        queryBytesMax = block.one("max_query")?.size(diagnostics).map { Int(clamping: $0) }
        fieldsMax = block.one("max_fields")?.integer(1...10_000, diagnostics)
        if types.isEmpty, queryBytesMax == nil, fieldsMax == nil { return nil }
    }

    /// Holds a request to them.
    ///
    /// - Parameter queryBytes: with the question mark; 0 where there is no query.
    package func check(_ head: borrowing RequestHead, queryBytes: Int, _ framing: BodyFraming) throws(Unmet) {
        if let fieldsMax, head.fields.lines.count > fieldsMax { throw .fields }
        if let queryBytesMax, queryBytes > queryBytesMax { throw .query }
        guard !contentTypes.isEmpty, !framing.isEmpty else { return }
        // Of two nobody could say which one a service goes by.
        guard head.fields.count(of: .contentType) == 1, let range = head.value(.contentType), accepts(head.bytes.extracting(range)) else {
            throw .contentType(accepted: contentTypes.joined(separator: ", "))
        }
    }

    private func accepts(_ value: Span<UInt8>) -> Bool { Self.matches(value, anyOf: contentTypes) }

    /// A media type as the file names it, in lower case.
    static func mediaType(_ word: Word, _ diagnostics: Diagnostics) -> String? {
        let parts = word.text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(ASCII.isToken) }), parts[0] != "*" else {
            diagnostics.error("'\(word.text)' is not a media type", at: word, hint: "write application/json, or image/*")
            return nil
        }
        return word.text.lowercased()
    }

    /// Whether the value of a Content-Type is of one of these types: what stands before the parameters is compared (RFC 9110 §8.3.1).
    static func matches(_ value: Span<UInt8>, anyOf types: [String]) -> Bool {
        var end = 0
        while end < value.count, value[end] != UInt8(ascii: ";"), value[end] != 0x20, value[end] != 0x09 { end += 1 }
        let type = value.extracting(0..<end)
        return types.contains { accepted in
            let utf8 = accepted.utf8
            let wanted = utf8.span
            guard wanted[wanted.count - 1] == UInt8(ascii: "*") else { return type.equalsIgnoringCase(wanted) }
            let prefix = wanted.count - 1
            return type.count > prefix && type.extracting(0..<prefix).equalsIgnoringCase(wanted.extracting(0..<prefix))
        }
    }

    /// For those who show the route.
    package var text: String {
        [
            contentTypes.isEmpty ? nil : "content type \(contentTypes.sorted().joined(separator: " "))",
            queryBytesMax.map { "query of \($0) bytes" }, fieldsMax.map { "\($0) fields" },
        ].compactMap { $0 }.joined(separator: ", ")
    }
}
