import Configuration
import Observability
import Processes
import System
import TLS

/// Certificates that change while the gateway runs.
extension ControlProcess {
    /// Of a listener: what it says of itself.
    func received(certificate reader: inout MessageReader) {
        guard let listener = reader.number(), let index = reader.number(), let chain = reader.bytes() else { return }
        certificates.replace(Int(clamping: listener), Int(clamping: index), chain: chain, at: loop.wallSeconds)
    }

    /// One that servers are shown, also by health checks.
    func received(clientCertificate message: [UInt8], _ reader: inout MessageReader) {
        ClientCertificateMessage.take(message, &reader) { told in
            let files = CertificateFiles(chain: told.chainFile, key: told.keyFile)
            if let wrong = settings.replaceClientCertificate(of: files, chain: told.chain, key: told.key) { log.error("\(wrong)") }
        }
    }
}
