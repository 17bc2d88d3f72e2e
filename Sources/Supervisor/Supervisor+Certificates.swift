import Configuration
import Observability
import Processes
import System
import TLS
import Time

/// Certificates and passwords that change while the gateway runs: who renews them need not tell it.
extension Supervisor {
    /// Called now and then.
    func lookAtCertificates(_ now: Instant) {
        guard !isStopping, certificatesLookedAt.adding(lookPause) <= now else { return }
        certificatesLookedAt = now
        lookAtPasswords()
        for generation in generations where !generation.isDraining {
            for watch in generation.certificates {
                switch watch.look(at: now) {
                case .unchanged: break
                case .changed(let certificate, let chain, let key):
                    if replace(certificate, chain, key, watch, generation) { watch.confirm() } else { count(certificate: "failure") }
                    Secrets.wipe(key)
                    Secrets.wipe(chain)
                case .wrong(let reason):
                    count(certificate: "failure")
                    log.error(
                        "the certificate \(watch.files.chain) has changed and cannot be used: \(reason); the one before stays in use")
                }
            }
        }
    }

    /// Called as often. A password goes to the workers, which tell the connections that they have.
    func lookAtPasswords() {
        for generation in generations where !generation.isDraining && !isStopping {
            for watch in generation.passwords {
                guard let content = watch.look() else { continue }
                defer { Secrets.wipe(content) }
                do {
                    try generation.replace([watch.path: content])
                } catch {
                    log.error("the password in \(watch.path) has changed and cannot be handed on: \(error); that is tried again")
                    continue
                }
                var message = MessageWriter(.storePassword)
                message.reserve(content.count + 32)
                message.number(UInt64(watch.store))
                message.number(watch.isOfSentinels ? 1 : 0)
                message.bytes(content)
                defer { Secrets.wipe(message.output) }
                for worker in generation.workers { worker.channel?.send(message.output) }
                watch.confirm(content)
                log.info("the password of redis \(generation.settings.redisNames[watch.store]) is read again from \(watch.path)")
            }
        }
    }

    private func replace(
        _ certificate: Certificate, _ chain: [UInt8], _ key: [UInt8], _ watch: CertificateWatch, _ generation: Generation
    ) -> Bool {
        guard chain.count + key.count < messageBytesMax / 2 else {
            log.error("the certificate \(watch.files.chain) is too large to be loaded while the gateway runs; reload it")
            return true
        }
        do {
            // Those who come later find it as if it had been read with the configuration.
            // Both may stand in one file.
            var files = [watch.files.chain: chain]
            files[watch.files.key] = key
            try generation.replace(files)
        } catch {
            log.error("the certificate \(watch.files.chain) has changed and cannot be handed on: \(error); that is tried again")
            return false
        }
        let message = Self.message(watch, chain, key)
        defer { Secrets.wipe(message) }
        for worker in generation.workers { worker.channel?.send(message) }
        switch watch.use {
        case .listener: generation.control?.channel?.send(Self.message(watch, PEMText.certificates(in: chain), []))
        // It checks upstreams, to which it shows the same.
        case .client: generation.control?.channel?.send(message)
        }
        count(certificate: "success")
        log.info(
            "the certificate for \(certificate.name) is loaded again from \(watch.files.chain); it is valid for \(max(0, certificate.secondsLeft) / 86_400) days"
        )
        return true
    }

    private static func message(_ watch: CertificateWatch, _ chain: [UInt8], _ key: [UInt8]) -> [UInt8] {
        var message: MessageWriter
        let names = watch.files.chain.utf8.count + watch.files.key.utf8.count
        // In one piece from the start: what it grew out of would keep a part of the key.
        switch watch.use {
        case .listener(let listener, let index):
            message = MessageWriter(.certificate)
            message.reserve(chain.count + key.count + 64)
            message.number(UInt64(listener))
            message.number(UInt64(index))
        case .client:
            message = MessageWriter(.clientCertificate)
            message.reserve(chain.count + key.count + names + 64)
            message.text(watch.files.chain)
            message.text(watch.files.key)
        }
        message.bytes(chain)
        message.bytes(key)
        return message.output
    }

    private func count(certificate result: String) { metrics.add(metrics.cell(.certificateLoads, result)) }
}

private let lookPause = Nanoseconds.seconds(1)
