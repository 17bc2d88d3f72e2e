import Observability

/// A certificate that servers are shown, which has changed; see ``MessageKind/clientCertificate``.
package struct ClientCertificateMessage {
    package let chainFile: String
    package let keyFile: String
    package let chain: [UInt8]
    package let key: [UInt8]

    package init?(_ reader: inout MessageReader) {
        guard let chainFile = reader.text(), let keyFile = reader.text(), let chain = reader.bytes(), let key = reader.bytes() else {
            return nil
        }
        (self.chainFile, self.keyFile, self.chain, self.key) = (chainFile, keyFile, chain, key)
    }
}
