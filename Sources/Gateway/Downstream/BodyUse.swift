/// What is done with a request's body, as far as it has come; the same in both versions of HTTP.
enum BodyUse {
    /// It waits until the request is on its way.
    case withheld
    /// The same, and the client waits to be told to send it (RFC 9110 §10.1.1).
    case awaitsContinue
    case forwarded
    /// The response is there already: the body is read and thrown away.
    case discarded

    /// Whether it may be read: the request is on its way, or its body is being thrown away.
    var takesBody: Bool {
        switch self {
        case .withheld, .awaitsContinue: false
        case .forwarded, .discarded: true
        }
    }
}
