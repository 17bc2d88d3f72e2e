import Bytes

/// The PROXY protocol: what something in front says of a connection before its first byte. Source: haproxy.org,
/// doc/proxy-protocol.txt, versions 1 and 2.
package enum ProxyProtocol {
    package enum Version: Sendable {
        case v1, v2
    }

    /// Source and destination of a connection. Nil where its sender speaks for itself (`LOCAL`) or does not know (`UNKNOWN`).
    package struct Addresses: Equatable, Sendable {
        package let source: IPAddress
        package let sourcePort: UInt16
        package let destination: IPAddress
        package let destinationPort: UInt16

        package init(source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16) {
            self.source = source
            self.sourcePort = sourcePort
            self.destination = destination
            self.destinationPort = destinationPort
        }
    }

    package enum Header: Equatable {
        /// So many bytes have to be there, of which all that is there now belongs to the header.
        case needs(Int)
        case complete(Addresses?)
    }

    package struct Malformed: Error {
        package init() {}
    }

    /// Reads a header from its first byte on. It asks for no byte that does not belong to it, so that what follows stays
    /// with the socket.
    ///
    /// - Parameter input: all that has come so far, no more than was asked for.
    package static func read(_ input: Span<UInt8>) throws(Malformed) -> Header {
        // The shortest header, `PROXY UNKNOWN` and a line's end, has fifteen bytes.
        guard input.count >= 15 else { return .needs(15) }
        return input.hasPrefix("PROXY ") ? try readLine(input) : try readBinary(input)
    }

    private static func readLine(_ input: Span<UInt8>) throws(Malformed) -> Header {
        let count = input.count
        guard input[count - 1] == 0x0A else {
            guard count < lineBytesMax else { throw Malformed() }
            return .needs(count + (input[count - 1] == 0x0D ? 1 : 2))
        }
        guard input[count - 2] == 0x0D else { throw Malformed() }
        let words = input.extracting(0..<count - 2).text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        if words.count >= 2, words[1] == "UNKNOWN" { return .complete(nil) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6", let source = IPAddress(words[2]),
            let destination = IPAddress(words[3]), words[2...3].allSatisfy({ $0.contains(":") == (words[1] == "TCP6") }),
            let sourcePort = port(words[4]), let destinationPort = port(words[5])
        else { throw Malformed() }
        return .complete(
            Addresses(source: source, sourcePort: sourcePort, destination: destination, destinationPort: destinationPort))
    }

    private static func port(_ text: String) -> UInt16? { text.utf8.allSatisfy(ASCII.isDigit) ? UInt16(text) : nil }

    private static func readBinary(_ input: Span<UInt8>) throws(Malformed) -> Header {
        guard input.extracting(0..<12).equals(signature) else { throw Malformed() }
        guard input.count >= 16 else { return .needs(16) }
        let length = Int(input[14]) << 8 | Int(input[15])
        guard input[12] >> 4 == 2, length <= binaryBytesMax else { throw Malformed() }
        guard input.count >= 16 + length else { return .needs(16 + length) }
        switch input[12] & 15 {
        case 0: return .complete(nil)
        case 1: break
        default: throw Malformed()
        }
        switch input[13] {
        case 0x11 where length >= 12:
            return .complete(
                Addresses(
                    source: IPAddress(v4: UInt32(number(input, 16, 4))), sourcePort: UInt16(number(input, 24, 2)),
                    destination: IPAddress(v4: UInt32(number(input, 20, 4))), destinationPort: UInt16(number(input, 26, 2))))
        case 0x21 where length >= 36:
            return .complete(
                Addresses(
                    source: IPAddress(high: number(input, 16, 8), low: number(input, 24, 8)), sourcePort: UInt16(number(input, 48, 2)),
                    destination: IPAddress(high: number(input, 32, 8), low: number(input, 40, 8)),
                    destinationPort: UInt16(number(input, 50, 2))))
        case 0x11, 0x21: throw Malformed()
        // Unix sockets, datagrams and what else there may be: the connection is taken, its address is not known.
        default: return .complete(nil)
        }
    }

    /// A number in network order; the caller has seen to it that its bytes are there.
    private static func number(_ input: Span<UInt8>, _ start: Int, _ count: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in start..<start + count { value = value << 8 | UInt64(input[index]) }
        return value
    }

    /// The header for a connection; one that says nothing where the addresses are not known.
    package static func header(_ version: Version, _ addresses: Addresses?) -> [UInt8] {
        switch version {
        case .v1:
            guard let addresses else { return [UInt8]("PROXY UNKNOWN\r\n") }
            let isV4 = addresses.source.isV4 && addresses.destination.isV4
            return [UInt8](
                "PROXY \(isV4 ? "TCP4" : "TCP6") \(addresses.source.long(isV4)) \(addresses.destination.long(isV4)) "
                    + "\(addresses.sourcePort) \(addresses.destinationPort)\r\n")
        case .v2:
            guard let addresses else { return signature + [0x20, 0, 0, 0] }
            var output = signature
            func append(_ value: UInt64, _ count: Int) {
                for place in stride(from: count - 1, through: 0, by: -1) {
                    output.append(UInt8(truncatingIfNeeded: value >> UInt64(place * 8)))
                }
            }
            if addresses.source.isV4, addresses.destination.isV4 {
                output += [0x21, 0x11, 0, 12]
                append(UInt64(addresses.source.v4), 4)
                append(UInt64(addresses.destination.v4), 4)
            } else {
                output += [0x21, 0x21, 0, 36]
                for address in [addresses.source, addresses.destination] {
                    append(address.high, 8)
                    append(address.low, 8)
                }
            }
            append(UInt64(addresses.sourcePort), 2)
            append(UInt64(addresses.destinationPort), 2)
            return output
        }
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let lineBytesMax = 107
    /// What follows the first sixteen bytes; nobody sends more than a few extensions.
    private static let binaryBytesMax = 2_048
}

extension IPAddress {
    /// As text of IPv4, or of IPv6 even where it is a mapped one.
    fileprivate func long(_ asV4: Bool) -> String { asV4 || !isV4 ? text : "::ffff:\(text)" }
}
