import Bytes
import EventLoop
import HTTPMessage

/// Finds out whom a request comes from.
enum ClientAddress {
    /// The client's address, going back along X-Forwarded-For from a trusted peer to the first that is not trusted.
    ///
    /// - Returns: nil when the peer itself is the client.
    static func told(by head: borrowing RequestHead, trusted: [IPNetwork]) -> IPAddress? {
        var last: IPAddress?
        for line in head.fields.lines.reversed() where line.id == .xForwardedFor {
            let value = head.bytes.extracting(line.value.range).text
            for part in value.split(separator: ",").reversed() {
                let text = part.trimmingSpaces()
                guard let address = IPAddress(text) ?? SocketAddress.split(text).flatMap({ IPAddress($0.host) }) else { return last }
                last = address
                if !trusted.contains(where: { $0.contains(address) }) { return address }
            }
        }
        return last
    }
}

extension Client {
    /// The address that requests come from; a trusted peer may tell another.
    func text(_ head: borrowing RequestHead, trusted: [IPNetwork]) -> [UInt8] {
        guard isTrusted, let told = ClientAddress.told(by: head, trusted: trusted) else { return addressText }
        return [UInt8](told.text)
    }
}

extension Substring {
    fileprivate func trimmingSpaces() -> String {
        var text = self
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}
