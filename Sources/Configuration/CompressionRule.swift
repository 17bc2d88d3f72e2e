import Bytes
package import Compression
import ConfigFile
package import Forwarding

/// `compress CODING … [{ types TYPE …; min_size SIZE; }]`: which of a route's responses go to clients in a coding that makes them shorter.
package final class CompressionRule: Sendable {
    /// By preference.
    package let codings: [ContentCoding]
    /// Media types, in lower case; a subtype of `*` is any.
    private let types: [String]
    /// Bodies whose length is known to be less stay as they are.
    package let bytesMin: UInt64
    /// What the route says in responses that are coded.
    package let responseFields: ResponseFields

    /// Nil where a part of it is wrong.
    ///
    /// - Parameter fields: what the route says in all its responses.
    init?(_ directive: Directive, _ fields: ResponseFields?, _ diagnostics: Diagnostics) {
        responseFields = .ofCoded(fields)
        let errors = diagnostics.count
        var codings: [ContentCoding] = []
        for word in directive.arguments {
            guard let coding = ContentCoding(rawValue: word.text) else {
                diagnostics.error("'\(word.text)' is not a coding", at: word, hint: "there are gzip, br and zstd; compress off; for none")
                continue
            }
            if codings.contains(coding) { diagnostics.error("\(word.text) stands twice", at: word) }
            codings.append(coding)
        }
        if directive.arguments.isEmpty {
            diagnostics.error("'compress' names no coding", at: directive.name, hint: "write: compress br zstd gzip;")
        }
        self.codings = codings
        guard directive.block != nil else {
            types = Self.usualTypes
            bytesMin = usualBytesMin
            if diagnostics.count > errors { return nil }
            return
        }
        let block = Block(of: directive, title: "compress", diagnostics)
        let given = block.one("types")?.words("TYPE/SUBTYPE …", diagnostics)
        types = given?.compactMap { MessageDemands.mediaType($0, diagnostics) } ?? Self.usualTypes
        bytesMin = block.one("min_size")?.size(diagnostics) ?? usualBytesMin
        block.finish()
        if diagnostics.count > errors { return nil }
    }

    /// Whether bodies of this Content-Type are worth it.
    package func takes(_ type: Span<UInt8>) -> Bool { MessageDemands.matches(type, anyOf: types) }

    private static let usualTypes = [
        "text/*", "application/json", "application/javascript", "application/xml", "application/wasm", "application/manifest+json",
        "application/ld+json", "application/problem+json", "application/geo+json", "application/rss+xml", "application/atom+xml",
        "application/xhtml+xml", "image/svg+xml", "font/ttf", "font/otf",
    ]
}

/// About what one packet carries.
private let usualBytesMin: UInt64 = 1_024
