import CHiredis

/// A reply of the server, of the shapes that the gateway's commands have.
package enum RedisReply: Equatable, Sendable {
    case status(String)
    case error(String)
    case integer(Int64)
    case string([UInt8])
    case null
    case array([RedisReply])
}

/// The server's bytes are not the protocol, or a reply is larger than any that was asked for.
package struct RedisProtocolError: Error, Equatable, Sendable {
    package let reason: String
}
