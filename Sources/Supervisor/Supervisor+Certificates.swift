import Logging
import Observability
import Processes
import System
import TLS
import Time

/// Certificates that change while the gateway runs: who renews them need not tell it.
extension Supervisor {
    /// Called now and then.
    func lookAtCertificates(_ now: Instant) {
        guard !isStopping, certificatesLookedAt.adding(lookPause) <= now else { return }
        certificatesLookedAt = now
        for generation in generations where !generation.isDraining {
            for watch in generation.certificates {
                switch watch.look(at: now) {
                case .unchanged: break
                case .changed(let certificate, let chain, let key):
                    replace(certificate, chain, key, watch, generation)
                    Secrets.wipe(key)
                case .wrong(let reason):
                    count(certificate: "failure")
                    log.error(
                        "the certificate \(watch.files.chain) has changed and cannot be used: \(reason); the one before stays in use")
                }
            }
        }
    }

    private func replace(
        _ certificate: Certificate, _ chain: [UInt8], _ key: [UInt8], _ watch: CertificateWatch, _ generation: Generation
    ) {
        guard chain.count + key.count < messageBytesMax / 2 else {
            return log.error("the certificate \(watch.files.chain) is too large to be loaded while the gateway runs; reload it")
        }
        do {
            // Those who come later find it as if it had been read with the configuration.
            try generation.replace([watch.files.chain: chain, watch.files.key: key])
        } catch {
            return log.error("the certificate \(watch.files.chain) has changed and cannot be handed on: \(error)")
        }
        for worker in generation.workers { worker.channel?.send(Self.message(watch, chain, key)) }
        generation.control?.channel?.send(Self.message(watch, chain, []))
        count(certificate: "success")
        log.info(
            "the certificate for \(certificate.name) is loaded again from \(watch.files.chain); it is valid for \(max(0, certificate.secondsLeft) / 86_400) days"
        )
    }

    private static func message(_ watch: CertificateWatch, _ chain: [UInt8], _ key: [UInt8]) -> [UInt8] {
        var message = MessageWriter(.certificate)
        // In one piece from the start: what it grew out of would keep a part of the key.
        message.reserve(chain.count + key.count + 64)
        message.number(UInt64(watch.listener))
        message.number(UInt64(watch.index))
        message.bytes(chain)
        message.bytes(key)
        return message.output
    }

    private func count(certificate result: String) { metrics.add(metrics.cell(.certificateLoads, result)) }
}

private let lookPause = Nanoseconds.seconds(1)
