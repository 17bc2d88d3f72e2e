import Bytes

/// A host with or without a port: the one form of Host, `:authority`, an absolute-form target, X-Forwarded-Host and the `host` of
/// Forwarded. What it does not take cannot be routed by, and so is not forwarded.
///
/// A name is made of letters, digits, `-`, `_` and `.`, without an empty label but for one final dot; the rest of what RFC 3986
/// lets a registered name hold, a comma above all, means something else in the lists that carry hosts. Source: RFC 3986 §3.2.2,
/// RFC 9110 §7.2.
package struct Authority: Equatable, Sendable {
    /// Where the host stands in the bytes that were read; the brackets of an IPv6 address belong to it.
    package let host: Range<Int>
    /// Nil where none is given, or an empty one.
    package let port: UInt16?
    /// The groups of an IPv6 address.
    private let address: IPv6Literal?

    package static func == (left: Authority, right: Authority) -> Bool { left.host == right.host && left.port == right.port }

    /// - Returns: nil for anything that is not a host, with or without a port, and nothing else.
    package init?(_ bytes: Span<UInt8>) {
        guard bytes.count > 0, bytes.count <= bytesMax else { return nil }
        var end = 0
        if bytes[0] == 0x5B {
            guard let close = bytes.firstIndex(of: 0x5D), let literal = IPv6Literal(bytes.extracting(1..<close)) else { return nil }
            address = literal
            end = close + 1
        } else {
            address = nil
            var labelStart = 0
            while end < bytes.count, bytes[end] != 0x3A {
                if bytes[end] == 0x2E {
                    guard end > labelStart else { return nil }
                    labelStart = end + 1
                } else if !ASCII.isHostCharacter(bytes[end]) {
                    return nil
                }
                end += 1
            }
            guard end > 0 else { return nil }
        }
        host = 0..<end
        guard end < bytes.count else {
            port = nil
            return
        }
        let digits = bytes.extracting((end + 1)..<bytes.count)
        guard bytes[end] == 0x3A else { return nil }
        if digits.isEmpty {
            port = nil
        } else {
            guard digits.count <= 5, let number = digits.decimal(max: 65_535) else { return nil }
            port = UInt16(truncatingIfNeeded: number)
        }
    }

    /// Appends the host in the form in which hosts are compared: lower case, no final dot, an IPv6 address as RFC 5952 writes it.
    ///
    /// - Parameter bytes: those that were read.
    package func appendHost(of bytes: Span<UInt8>, to output: inout [UInt8]) {
        if let address { return address.append(to: &output) }
        var end = host.upperBound
        if bytes[end - 1] == 0x2E { end -= 1 }
        for index in host.lowerBound..<end { output.append(ASCII.lowercased(bytes[index])) }
    }

    package var isIPv6: Bool { address != nil }
}

/// The longest name of the DNS with a port.
private let bytesMax = 261
