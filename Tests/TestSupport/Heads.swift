import Bytes
import HTTP1
package import HTTPMessage

package enum Heads {
    /// A request head of these lines, parsed.
    package static func request(_ lines: String...) throws -> RequestHead {
        try request([UInt8]((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
    }

    /// A request head of these bytes, parsed.
    package static func request(_ bytes: [UInt8]) throws -> RequestHead {
        var head = RequestHead()
        var parser = RequestParser()
        guard case .complete = try parser.parse(bytes.span, into: &head) else { throw MessageError.badRequestLine }
        return head
    }
}
