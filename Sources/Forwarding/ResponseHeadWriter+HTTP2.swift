import Bytes
package import HTTP1
package import HTTP2
package import HTTPMessage

/// The same head, as an HTTP/2 client gets it.
extension ResponseHeadWriter {
    /// Replaces what is in `block`; what the gateway adds follows.
    package static func write(
        _ head: borrowing ResponseHead, framing: BodyFraming, _ rewriter: RedirectRewriter?, dropsCORS: Bool = false,
        _ own: ResponseFields? = nil,
        to block: inout FieldBlock
    ) {
        // A tunnel opens with 200, and without the proof that only HTTP/1.1 knows (RFC 8441 §5).
        let opensTunnel = head.status == 101
        begin(opensTunnel ? 200 : head.status, &block)
        for line in head.fields.lines where passes(line, of: head, framing, dropsCORS: dropsCORS, own) {
            if opensTunnel, head.bytes.extracting(line.name.range).equalsIgnoringCase("sec-websocket-accept") { continue }
            let name = head.bytes.extracting(line.name.range)
            if let value = rewriter?.value(of: line, in: head.bytes) {
                block.append(name, value.span)
            } else {
                block.append(name, head.bytes.extracting(line.value.range))
            }
        }
        if case .length(let count) = framing { block.append("content-length", decimal: count) }
    }

    /// An interim response (1xx), as above.
    package static func writeInterim(
        _ head: borrowing ResponseHead, dropsCORS: Bool = false, _ own: ResponseFields? = nil, to block: inout FieldBlock
    ) {
        begin(head.status, &block)
        for line in head.fields.lines where passes(line, of: head, .close, dropsCORS: dropsCORS, own) {
            block.append(head.bytes.extracting(line.name.range), head.bytes.extracting(line.value.range))
        }
    }

    /// Starts a head with its status (RFC 9113 §8.3.2).
    package static func begin(_ status: Int, _ block: inout FieldBlock) {
        block.removeAll()
        block.append(":status", decimal: UInt64(clamping: status))
    }
}
