import Bytes
import HTTPMessage

/// X-Forwarded-For, -Proto, -Host, Forwarded (RFC 7239) and X-Request-Id, as an upstream gets them. A trusted peer's own words are
/// kept and added to; anybody else's are dropped. One for all requests of a worker.
package final class ForwardedFields {
    /// Of the last request: most name the same host as the one before.
    private var known: KnownHost?

    package init() {}

    func append(_ head: borrowing RequestHead, _ requestID: [UInt8], _ origin: DownstreamOrigin, to output: inout ByteQueue) {
        let bytes = head.bytes
        let host = head.value(.host) ?? 0..<0
        guard origin.isPeerTrusted else {
            let (lines, text) = (origin.ownLines, known(bytes.extracting(host), isTLS: origin.isTLS).text)
            return output.append(line: lines.span, text.span, requestID.span)
        }
        Self.appendPeers(head, origin, to: &output)
        let told = head.value(.xForwardedHost) ?? host
        Self.append(host: bytes.extracting(host), told: bytes.extracting(told), isTLS: origin.isTLS, to: &output)
        output.append(requestID)
        output.appendLineEnd()
    }

    private func known(_ host: Span<UInt8>, isTLS: Bool) -> KnownHost {
        if let known, known.isTLS == isTLS, host.equals(known.host) { return known }
        var text = ByteQueue()
        Self.append(host: host, told: host, isTLS: isTLS, to: &text)
        let new = KnownHost(host: host.copied(), isTLS: isTLS, text: text.readable.copied())
        // No longer than a name in the DNS, with a port: this outlives the request.
        if host.count < 262 { known = new }
        return new
    }

    /// The rest of Forwarded, X-Forwarded-Host, and the name of X-Request-Id.
    ///
    /// - Parameters:
    ///   - host: what the request names; empty where it names none.
    ///   - told: what its client named, by the word of a peer that may speak for it.
    private static func append(host: Span<UInt8>, told: Span<UInt8>, isTLS: Bool, to output: inout ByteQueue) {
        if !host.isEmpty {
            output.append(";host=\"")
            output.append(host)
            output.append("\"")
        }
        output.append(isTLS ? ";proto=https\r\n" : ";proto=http\r\n")
        if !told.isEmpty { output.append(field: "X-Forwarded-Host".utf8.span, told) }
        output.append("X-Request-Id: ")
    }

    /// X-Forwarded-For, X-Forwarded-Proto and the beginning of Forwarded, where the peer speaks for others.
    private static func appendPeers(_ head: borrowing RequestHead, _ origin: DownstreamOrigin, to output: inout ByteQueue) {
        output.append("X-Forwarded-For: ")
        elements(of: .xForwardedFor, head, to: &output)
        output.append(origin.peer)
        output.append("\r\nX-Forwarded-Proto: ")
        var isTLS = origin.isTLS
        if let told = head.value(.xForwardedProto) {
            let scheme = head.bytes.extracting(told)
            if scheme.equalsIgnoringCase("https") { isTLS = true }
            if scheme.equalsIgnoringCase("http") { isTLS = false }
        }
        output.append(isTLS ? "https" : "http")
        output.append("\r\nForwarded: ")
        elements(of: .forwarded, head, to: &output)
        origin.appendForwardedElement(to: &output)
    }

    /// The values of a field, to which another one is added.
    private static func elements(of name: FieldName, _ head: borrowing RequestHead, to output: inout ByteQueue) {
        for line in head.fields.lines where line.id == name && !line.value.isEmpty {
            output.append(head.bytes.extracting(line.value.range))
            output.append(", ")
        }
    }
}

/// What is said of a host, up to the request's identifier.
private final class KnownHost {
    let host: [UInt8]
    let isTLS: Bool
    let text: [UInt8]

    init(host: [UInt8], isTLS: Bool, text: [UInt8]) {
        self.host = host
        self.isTLS = isTLS
        self.text = text
    }
}
