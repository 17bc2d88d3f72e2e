import Forwarding
import Redis
package import TLS

extension Settings {
    /// How servers are spoken to over TLS.
    package var clientTLS: [ClientTLSSettings] { upstreams.compactMap(\.tls) + redis.flatMap(\.clientTLS) }

    /// The files of a certificate that servers are shown have changed: all connections that begin from now on show it.
    ///
    /// - Returns: what is wrong with it; nil for nothing.
    package func replaceClientCertificate(of files: CertificateFiles, chain: [UInt8], key: [UInt8]) -> String? {
        do {
            let certificate = try Certificate(chainPEM: chain, keyPEM: key)
            for tls in clientTLS where tls.files == files { try tls.context.replace(certificate) }
            return nil
        } catch {
            return "the certificate \(files.chain) that servers are shown has changed and cannot be used here; the one before stays"
        }
    }
}
