/// Parts of PEM as text (RFC 7468).
package enum PEMText {
    /// The certificates alone: in some files a key stands beside them, which is not for everybody.
    package static func certificates(in pem: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        var start = 0
        while let first = pem[start...].firstRange(of: begin), let last = pem[first.upperBound...].firstRange(of: end) {
            output += pem[first.lowerBound..<last.upperBound]
            output.append(0x0A)
            start = last.upperBound
        }
        return output
    }

    private static let begin = Array("-----BEGIN CERTIFICATE-----".utf8)
    private static let end = Array("-----END CERTIFICATE-----".utf8)
}
