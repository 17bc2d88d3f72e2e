import Bytes
import HTTP1
import HTTP2
import HTTPMessage

/// The head of a request that the gateway makes itself: nothing of a client's request goes with it.
package struct InquiryHead {
    let method: [UInt8]
    /// With the query.
    let path: [UInt8]
    /// Nil for the name of the server that is asked.
    let authority: String?
    /// Whole lines.
    let fields: [UInt8]

    func write(_ shape: RequestShape, server: String, to output: inout ByteQueue) {
        output.append(method)
        output.append(UInt8(ascii: " "))
        output.append(path)
        output.append(" HTTP/1.1\r\nHost: \(authority ?? server)\r\n")
        output.append(fields)
        shape.framing.appendField(to: &output)
        output.appendLineEnd()
    }

    func write(_ shape: RequestShape, server: String, isTLS: Bool, to block: inout FieldBlock) {
        block.append(":method", method.span)
        block.append(":scheme", isTLS ? "https" : "http")
        block.append(":authority", authority ?? server)
        block.append(":path", path.span)
        block.append(lines: fields)
        if case .length(let count) = shape.framing { block.append("content-length", decimal: count) }
    }
}
