import Configuration
import Observability
import Processes
import System
import TLS

extension Worker {
    /// A certificate that servers are shown has changed.
    func received(clientCertificate message: [UInt8], _ reader: inout MessageReader) {
        defer { Secrets.wipe(message) }
        guard let told = ClientCertificateMessage(&reader) else { return }
        // Both may stand in one file.
        defer {
            Secrets.wipe(told.key)
            Secrets.wipe(told.chain)
        }
        let files = CertificateFiles(chain: told.chainFile, key: told.keyFile)
        if let wrong = settings.replaceClientCertificate(of: files, chain: told.chain, key: told.key) { report(wrong) }
    }
}
