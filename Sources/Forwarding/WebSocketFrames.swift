import Bytes

/// Follows the frames of a WebSocket in one direction as they pass, so that a frame of the gateway's own can stand between
/// two of them. Looks at lengths alone. Source: RFC 6455 §5.2.
package struct WebSocketFrames {
    /// Of the frame's header, up to the length and the mask.
    private var header = [14 of UInt8](repeating: 0)
    private var headerCount = 0
    private var payloadLeft: UInt64 = 0

    package init() {}

    package var isBetweenFrames: Bool { headerCount == 0 && payloadLeft == 0 }

    /// Takes the bytes that pass.
    ///
    /// - Returns: how many of them end the frame that was under way before; 0 when none was. All, when they do not end it.
    @discardableResult
    package mutating func follow(_ bytes: Span<UInt8>) -> Int {
        let wasInside = !isBetweenFrames
        var firstEnd: Int?
        var index = 0
        while index < bytes.count {
            if payloadLeft > 0 {
                let count = Int(min(payloadLeft, UInt64(bytes.count - index)))
                payloadLeft -= UInt64(count)
                index += count
            } else {
                header[headerCount] = bytes[index]
                headerCount += 1
                index += 1
                guard headerCount == headerLength else { continue }
                payloadLeft = payloadLength
                headerCount = 0
            }
            if isBetweenFrames, firstEnd == nil { firstEnd = index }
        }
        return wasInside ? firstEnd ?? bytes.count : 0
    }

    /// Bytes of the header, as far as is known yet.
    private var headerLength: Int {
        guard headerCount >= 2 else { return 2 }
        let length = header[1] & 0x7F
        return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (header[1] & 0x80 != 0 ? 4 : 0)
    }

    private var payloadLength: UInt64 {
        let short = header[1] & 0x7F
        guard short >= 126 else { return UInt64(short) }
        var length: UInt64 = 0
        for place in 2..<(short == 126 ? 4 : 10) { length = length << 8 | UInt64(header[place]) }
        return length
    }

    /// A Close frame. Source: RFC 6455 §5.5.1, §7.4.1.
    ///
    /// - Parameter masked: for the direction of the server; the mask is of zeros, for there is nothing to hide from anybody.
    package static func close(_ code: UInt16, _ reason: String, masked: Bool) -> [UInt8] {
        let text = Array(reason.utf8.prefix(123))
        var frame: [UInt8] = [0x88, UInt8(text.count + 2) | (masked ? 0x80 : 0)]
        if masked { frame += [0, 0, 0, 0] }
        frame += [UInt8(code >> 8), UInt8(code & 255)]
        return frame + text
    }

    /// The code for a server that goes down (RFC 6455 §7.4.1).
    package static let goingAway: UInt16 = 1001
    /// The code for a connection that the server's policy ends.
    package static let policyViolation: UInt16 = 1008
}
