import System
import TLS
import Time

/// Finds out when the files of a certificate have changed: of a listener's, or of one that servers are shown. A file is looked at by what the system says of it, and read when that is
/// another than before: so a link that leads elsewhere now, as in a volume of Kubernetes, is seen too.
final class CertificateWatch {
    /// What it is for.
    enum Use {
        case listener(Int, index: Int)
        /// Connections to servers; all that name the same files have it.
        case client
    }

    let use: Use
    let files: CertificateFiles
    private var seen: [[Int64]?]
    /// What is in use.
    private var digest: [UInt8]
    /// What was found last, and is in use once that is confirmed.
    private var found: [UInt8] = []
    /// Since when the files are others and cannot be used, and whether that was told.
    private var wrongSince = Instant.never
    private var isWrongTold = false

    enum Outcome {
        case unchanged
        case changed(Certificate, chain: [UInt8], key: [UInt8])
        /// Told once, when it has been so for a while: chain and key are written one after the other.
        case wrong(String)
    }

    /// - Parameters:
    ///   - chain: as it was read with the configuration, as is `key`.
    init(_ use: Use, files: CertificateFiles, chain: [UInt8], key: [UInt8]) {
        self.use = use
        self.files = files
        digest = Digest.sha256(chain) + Digest.sha256(key)
        // What has changed since they were read is seen at the first look.
        seen = [nil, nil]
    }

    /// What was found is in use.
    func confirm() {
        if !found.isEmpty { digest = found }
        found = []
        wrongSince = .never
        isWrongTold = false
    }

    func look(at now: Instant) -> Outcome {
        let signatures = [LocalFiles.signature(of: files.chain), LocalFiles.signature(of: files.key)]
        guard signatures != seen || wrongSince != .never else { return .unchanged }
        let isFirstLook = wrongSince == .never
        seen = signatures
        do {
            let key = try LocalFiles.read(files.key, bytesMax: bytesMax)
            var isHandedOn = false
            defer { if !isHandedOn { Secrets.wipe(key) } }
            let chain = try LocalFiles.read(files.chain, bytesMax: bytesMax)
            let present = Digest.sha256(chain) + Digest.sha256(key)
            guard present != digest else {
                confirm()
                return .unchanged
            }
            let certificate = try Certificate(chainPEM: chain, keyPEM: key)
            found = present
            // Until it is in use, it is looked at again.
            if isFirstLook { wrongSince = now }
            isHandedOn = true
            return .changed(certificate, chain: chain, key: key)
        } catch {
            if isFirstLook { wrongSince = now }
            guard !isWrongTold, now.since(wrongSince) > patience else { return .unchanged }
            isWrongTold = true
            return .wrong((error as? CertificateError)?.explanation ?? (error as? SystemError)?.reason ?? "\(error)")
        }
    }
}

private let bytesMax = 1 << 20
/// How long the two files may not fit together.
private let patience = Nanoseconds.seconds(5)
