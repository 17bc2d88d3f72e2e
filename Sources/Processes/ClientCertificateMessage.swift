import Observability
import System

/// A certificate that servers are shown, which has changed; see ``MessageKind/clientCertificate``.
package struct ClientCertificateMessage {
    package let chainFile: String
    package let keyFile: String
    package let chain: [UInt8]
    package let key: [UInt8]

    /// Reads one, has it used, and wipes the message and what was read of it.
    package static func take(_ message: [UInt8], _ reader: inout MessageReader, _ use: (ClientCertificateMessage) -> Void) {
        defer { Secrets.wipe(message) }
        guard let told = ClientCertificateMessage(&reader) else { return }
        use(told)
        // Both may stand in one file.
        Secrets.wipe(told.key)
        Secrets.wipe(told.chain)
    }

    private init?(_ reader: inout MessageReader) {
        guard let chainFile = reader.text(), let keyFile = reader.text(), let chain = reader.bytes(), let key = reader.bytes() else {
            return nil
        }
        (self.chainFile, self.keyFile, self.chain, self.key) = (chainFile, keyFile, chain, key)
    }
}
