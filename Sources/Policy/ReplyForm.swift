import Bytes
package import HTTPMessage

/// What the asking program reads.
package enum ReplyForm: Equatable, Sendable {
    /// `application/problem+json` (RFC 9457).
    case problem
    /// A small page, where a browser navigates.
    case html
    /// A head with the status of the call.
    case grpc

    package init(for head: borrowing RequestHead, isHTTP2: Bool) {
        if isHTTP2, head.isGRPC {
            self = .grpc
        } else {
            self = Self.wantsHTML(head) ? .html : .problem
        }
    }

    private static func wantsHTML(_ head: borrowing RequestHead) -> Bool {
        guard let mode = head.value(.secFetchMode), head.bytes.extracting(mode).equals("navigate"), let accept = head.value(.accept) else {
            return false
        }
        var elements = ListElements(range: accept)
        while let element = elements.next(in: head.bytes) {
            if head.bytes.extracting(element).hasPrefix("text/html") { return true }
        }
        return false
    }
}
