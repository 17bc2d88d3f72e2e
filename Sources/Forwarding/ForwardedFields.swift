import Bytes
import HTTPMessage
import Routing

/// In which fields a trusted proxy tells of the request as its client sent it. Those that it does not write itself it may pass on from
/// anybody.
package enum TrustedFields: Sendable {
    /// X-Forwarded-For and its relatives where there is that field, else Forwarded.
    case any
    case xForwarded
    case forwarded
}

/// X-Forwarded-For, -Proto, -Host and -Port, Forwarded (RFC 7239) and X-Request-Id, as an upstream gets them. A trusted peer's own lists
/// are kept and added to; scheme and host are those by which the request was routed. Anybody else's are dropped. One for all requests of a
/// worker.
package final class ForwardedFields {
    /// Of the last request: most name the same host as the one before.
    private var known: KnownHost?
    /// Which fields of a trusted peer are its own.
    let trusted: TrustedFields

    package init(trusted: TrustedFields = .any) { self.trusted = trusted }

    func append(_ head: borrowing RequestHead, _ context: RequestContext, _ origin: DownstreamOrigin, to output: inout ByteQueue) {
        let host = head.bytes.extracting(context.authority?.range ?? 0..<0)
        let (requestID, isHTTPS) = (context.requestID, context.isHTTPS)
        guard origin.isPeerTrusted else {
            let (lines, text) = (origin.ownLines, known(host, isHTTPS: isHTTPS).text)
            return output.append(line: lines.span, text.span, requestID.span)
        }
        appendPeers(head, context, origin, to: &output)
        Self.append(host: host, isHTTPS: isHTTPS, to: &output)
        output.append(requestID)
        output.appendLineEnd()
    }

    private func known(_ host: Span<UInt8>, isHTTPS: Bool) -> KnownHost {
        if let known, known.isHTTPS == isHTTPS, host.equals(known.host) { return known }
        var text = ByteQueue()
        Self.append(host: host, isHTTPS: isHTTPS, to: &text)
        let new = KnownHost(host: host.copied(), isHTTPS: isHTTPS, text: text.readable.copied())
        known = new
        return new
    }

    /// The rest of Forwarded, X-Forwarded-Host and -Port, and the name of X-Request-Id.
    ///
    /// - Parameter host: what the request is routed by; empty where it names none.
    private static func append(host: Span<UInt8>, isHTTPS: Bool, to output: inout ByteQueue) {
        if !host.isEmpty {
            output.append(";host=\"")
            output.append(host)
            output.append("\"")
        }
        output.append(isHTTPS ? ";proto=https\r\n" : ";proto=http\r\n")
        if !host.isEmpty {
            output.append(field: "X-Forwarded-Host".utf8.span, host)
            output.append("X-Forwarded-Port: ")
            output.append(decimal: UInt64(Authority(host)?.port ?? (isHTTPS ? 443 : 80)))
            output.appendLineEnd()
        }
        output.append("X-Request-Id: ")
    }

    /// X-Forwarded-For, X-Forwarded-Proto and the beginning of Forwarded, where the peer speaks for others.
    private func appendPeers(
        _ head: borrowing RequestHead, _ context: RequestContext, _ origin: DownstreamOrigin, to output: inout ByteQueue
    ) {
        output.append("X-Forwarded-For: ")
        if trusted != .forwarded, head.fields.has(.xForwardedFor) {
            Self.elements(of: .xForwardedFor, head, to: &output)
        } else if context.clientIP != origin.peer {
            // Told in Forwarded alone.
            output.append(context.clientIP)
            output.append(", ")
        }
        output.append(origin.peer)
        output.append(context.isHTTPS ? "\r\nX-Forwarded-Proto: https" : "\r\nX-Forwarded-Proto: http")
        output.append("\r\nForwarded: ")
        if trusted != .xForwarded { Self.elements(of: .forwarded, head, to: &output) }
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
    let isHTTPS: Bool
    let text: [UInt8]

    init(host: [UInt8], isHTTPS: Bool, text: [UInt8]) {
        self.host = host
        self.isHTTPS = isHTTPS
        self.text = text
    }
}
