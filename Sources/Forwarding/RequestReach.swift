/// How far the request of a failed exchange has come: whose fault the failure is, and whether the request may be sent again.
enum RequestReach: Equatable {
    /// It never set out, and the channel still has it: it may go elsewhere, whatever its method.
    ///
    /// - Parameter isReused: whether its connection had been kept from an exchange before.
    case notSent(isReused: Bool)
    /// The server has said that it did nothing about it (RFC 9113 §8.7).
    ///
    /// - Parameter isKept: whether the channel still has all of it.
    case refused(isKept: Bool)
    /// The server may have read it and acted on it. Over a kept connection the server may have closed at the moment of its next use: then an
    /// idempotent request may be repeated.
    case sent(isReused: Bool)
    /// A part of the response has come: nothing is repeated.
    case responseBegan
}
