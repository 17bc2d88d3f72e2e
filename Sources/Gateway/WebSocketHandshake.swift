import Bytes
import HTTPMessage
import System

/// What opens a tunnel in HTTP/1.1, where it is to be read or made.
enum WebSocketHandshake {
    /// The line that an upstream of HTTP/1.1 wants and a client of HTTP/2 does not send: 16 random bytes (RFC 6455 §4.1,
    /// RFC 8441 §5). What the upstream makes of it is not looked at: it proves a handshake that took place elsewhere.
    static func keyLine() -> [UInt8] {
        var line = [UInt8]("Sec-WebSocket-Key: ")
        line += Base64.encode(SystemRandom.bytes(16))
        line.append("\r\n")
        return line
    }
}
