import Administration
import Configuration
import Observability
import TLS
import Time

/// How long the certificates of listeners are valid; told of once a day where it is not for long.
final class Certificates {
    private struct Entry {
        let name: String
        let source: String
        /// Seconds since 1970.
        let expiresAt: UInt64
    }

    private var entries: [Int: [Entry]] = [:]
    private let sources: [Int: [String]]
    private let report: (String) -> Void
    private var toldNext = Instant.past

    init(_ settings: Settings, at wall: UInt64, report: @escaping (String) -> Void) {
        self.report = report
        var sources: [Int: [String]] = [:]
        for (listener, one) in settings.listeners.enumerated() {
            guard case .tls(let tls) = one.role else { continue }
            sources[listener] = tls.files.map(\.chain)
            entries[listener] = zip(tls.certificates, tls.files).map { Self.entry($0, $1.chain, wall) }
        }
        self.sources = sources
    }

    private static func entry(_ certificate: Certificate, _ source: String, _ wall: UInt64) -> Entry {
        Entry(name: certificate.name, source: source, expiresAt: UInt64(clamping: Int64(clamping: wall) + certificate.secondsLeft))
    }

    /// A certificate has changed.
    func replace(_ listener: Int, _ index: Int, chain: [UInt8], at wall: UInt64) {
        guard let source = sources[listener], source.indices.contains(index),
            let left = Certificate.facts(ofChain: chain), entries[listener]?.indices.contains(index) ?? false
        else { return }
        entries[listener]?[index] = Entry(
            name: left.name, source: source[index], expiresAt: UInt64(clamping: Int64(clamping: wall) + left.secondsLeft))
        toldNext = .past
    }

    /// Called now and then.
    func tell(at now: Instant, wall: UInt64) {
        guard toldNext <= now else { return }
        toldNext = now.adding(.seconds(86_400))
        for entry in all where entry.expiresAt < wall + UInt64(Certificate.warnedOfDays) * 86_400 {
            let days = entry.expiresAt > wall ? (entry.expiresAt - wall) / 86_400 : 0
            report(
                entry.expiresAt > wall
                    ? "the certificate for \(entry.name) expires in \(days) day(s): \(entry.source)"
                    : "the certificate for \(entry.name) has expired, and clients refuse it: \(entry.source)")
        }
    }

    func add(to sum: inout MetricSum) {
        for entry in all { sum.set(.certificateExpiry, [entry.name, entry.source], entry.expiresAt) }
    }

    var json: JSON {
        .array(
            all.map {
                .object([("name", .text($0.name)), ("source", .text($0.source)), ("expires_at", .number($0.expiresAt))])
            })
    }

    /// Each once, though several listeners may have it.
    private var all: [Entry] {
        var seen: Set<String> = []
        return entries.sorted { $0.key < $1.key }.flatMap(\.value).filter { seen.insert($0.source).inserted }
    }
}
