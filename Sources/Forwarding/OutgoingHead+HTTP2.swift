import Authentication
import Bytes
import HTTP1
import HTTP2
import HTTPMessage
import Routing

/// The same head, as an upstream of HTTP/2 gets it.
extension OutgoingHead {
    /// Appends pseudo-fields and fields. Source: RFC 9113 §8.3.1.
    func writeForwarded(_ shape: RequestShape, isTLS: Bool, to block: inout FieldBlock) throws(ForwardingError) {
        try Self.pseudoFields(context.head, context.authority, context.target, rule, filter, server: server, isTLS: isTLS, to: &block)
        fields(context.head, to: &block)
        block.append(lines: ownLines)
        var lines = ByteQueue()
        forwardedFields.append(context.head, context, origin, to: &lines)
        if rule.forwardsToken, let token = identity?.principal.token { RequestHeadWriter.bearer(token, to: &lines) }
        block.append(lines: lines.readable)
        if case .length(let count) = shape.framing { block.append("content-length", decimal: count) }
    }

    private static func pseudoFields(
        _ head: borrowing RequestHead, _ authority: ByteRange?, _ target: borrowing RequestTarget, _ rule: ForwardingRule,
        _ filter: FieldFilter,
        server: String, isTLS: Bool, to block: inout FieldBlock
    ) throws(ForwardingError) {
        block.append(":method", head.bytes.extracting(head.methodRange.range))
        block.append(":scheme", isTLS ? "https" : "http")
        switch rule.host {
        case .set(let name): block.append(":authority", name)
        case .keep:
            if let authority {
                block.append(":authority", head.bytes.extracting(authority.range))
            } else {
                block.append(":authority", server)
            }
        }
        var path = ByteQueue()
        try RequestHeadWriter.path(head, target, rule, filter, to: &path)
        block.append(":path", path.readable)
    }

    private func fields(_ head: borrowing RequestHead, to block: inout FieldBlock) {
        let (bytes, sender) = (head.bytes, sender(head))
        for line in head.fields.lines {
            let name = bytes.extracting(line.name.range)
            if rule.removesFields, rule.removes(name) { continue }
            switch filter.verdict(on: line, in: bytes, from: sender) {
            case .drop: continue
            case .keep: if !head.connection.names(name, in: bytes) { block.append(name, bytes.extracting(line.value.range)) }
            case .rewrite:
                guard !head.connection.names(name, in: bytes) else { continue }
                var cookies = ByteQueue()
                filter.appendCookies(line, in: bytes, keeping: rule.keptCookies, to: &cookies)
                block.append(lines: cookies.readable)
            }
        }
        // The one coding that a client may announce here, and that gRPC asks for (RFC 9110 §10.1.4).
        if head.fields.list(.te, contains: "trailers", in: bytes) { block.append("te", "trailers") }
    }
}
