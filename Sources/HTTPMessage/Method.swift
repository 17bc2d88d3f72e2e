import Bytes

/// A request method. The registered ones that matter have a case; any other token is `other`, told apart by its bytes.
/// Source: RFC 9110 §9, RFC 5789.
package enum Method: UInt8, CaseIterable, Sendable {
    case get, head, post, put, delete, patch, options, connect, trace, other

    // Written out, as for FieldName.
    package static func == (left: Method, right: Method) -> Bool { left.rawValue == right.rawValue }

    /// Methods are case-sensitive.
    package init(_ bytes: Span<UInt8>) {
        self =
            switch bytes.count {
            case 3: bytes.equals("GET") ? .get : bytes.equals("PUT") ? .put : .other
            case 4: bytes.equals("POST") ? .post : bytes.equals("HEAD") ? .head : .other
            case 5: bytes.equals("PATCH") ? .patch : bytes.equals("TRACE") ? .trace : .other
            case 6: bytes.equals("DELETE") ? .delete : .other
            case 7: bytes.equals("OPTIONS") ? .options : bytes.equals("CONNECT") ? .connect : .other
            default: .other
            }
    }

    /// Whether a request of this method has a body, so that one without says that it has none (RFC 9110 §8.6).
    package var expectsBody: Bool { self == .post || self == .put || self == .patch }

    /// Whether a repeated request has the effect of one (RFC 9110 §9.2.2), so that it may be sent again on another connection.
    package var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .patch, .connect, .other: false
        }
    }
}
