import Bytes

/// How a body is made shorter on its way (RFC 9110 §8.4.1; RFC 7932, RFC 8878).
package enum ContentCoding: String, CaseIterable, Sendable {
    case gzip, br, zstd

    /// The one that a client takes best; nil where it takes none.
    ///
    /// - Parameters:
    ///   - accepted: the values of Accept-Encoding, with a comma between two.
    ///   - offered: by preference, where the client has none.
    package static func chosen(_ accepted: String, of offered: [ContentCoding]) -> ContentCoding? {
        var qualities: [String: Int] = [:]
        for element in accepted.lowercased().split(separator: ",") {
            let parts = element.split(separator: ";").map { $0.trimmed }
            guard let name = parts.first, !name.isEmpty else { continue }
            let weights = parts.dropFirst().filter { $0.hasPrefix("q=") }
            guard let quality = weights.isEmpty ? 1_000 : Self.thousandths(weights[0].dropFirst(2)) else { continue }
            qualities[String(name == "x-gzip" ? "gzip" : name)] = quality
        }
        var best: (coding: ContentCoding, quality: Int)?
        for coding in offered {
            let quality = qualities[coding.rawValue] ?? qualities["*"] ?? 0
            if quality > best?.quality ?? 0 { best = (coding, quality) }
        }
        // Who would rather have the body as it is says so by its weight.
        if let best, let plain = qualities["identity"], plain > best.quality { return nil }
        return best?.coding
    }

    /// `0.8` as 800 (RFC 9110 §12.4.2); nil for what is no weight.
    private static func thousandths(_ text: Substring) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard let whole = parts.first, whole == "0" || whole == "1", parts.count <= 2 else { return nil }
        let fraction = parts.count > 1 ? parts[1] : ""
        guard fraction.count <= 3, fraction.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
        let value = (Int(whole) ?? 0) * 1_000 + (Int(fraction + String(repeating: "0", count: 3 - fraction.count)) ?? 0)
        return value <= 1_000 ? value : nil
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var rest = self
        while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return rest
    }
}
