import Bytes
import System
import HTTPMessage

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

extension RequestHead {
    /// The first protocol of Upgrade that is among `names`, where Connection says that it is meant. Source: RFC 9110 §7.8.
    func upgrade(among names: [String]) -> [UInt8]? {
        guard version == .http11, method == .get, fields.list(.connection, contains: "upgrade", in: bytes) else { return nil }
        for line in fields.lines where line.id == .upgrade {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                let offered = bytes.extracting(element)
                for name in names where offered.equalsIgnoringCase(name) { return offered.copied() }
            }
        }
        return nil
    }
}
