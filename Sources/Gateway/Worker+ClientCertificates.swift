import Configuration
import Observability
import Processes
import System
import TLS

extension Worker {
    /// A certificate that servers are shown has changed.
    func received(clientCertificate message: [UInt8], _ reader: inout MessageReader) {
        ClientCertificateMessage.take(message, &reader) { told in
            let files = CertificateFiles(chain: told.chainFile, key: told.keyFile)
            if let wrong = settings.replaceClientCertificate(of: files, chain: told.chain, key: told.key) { report(wrong) }
        }
    }
}
