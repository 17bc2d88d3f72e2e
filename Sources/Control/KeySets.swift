import Time
import Authentication
import ConfigFile
import Configuration
import Observability
import Processes
import System

/// Keeps the key sets of all issuers fresh: files are looked at four times a second, URLs fetched again by their Cache-Control, at
/// a worker's wish at most once in ten seconds, and every second while the last fetch has failed.
final class KeySets: TimerHandler {
    private struct Source {
        enum Place {
            case file(String, signature: [Int64]?)
            case url(any DocumentFetching)
            /// The workers have read it with the configuration.
            case fixed

            var name: String {
                switch self {
                case .file(let path, _): path
                case .url(let fetch): fetch.url
                case .fixed: ""
                }
            }
        }

        var place: Place
        /// The document that was read or fetched last and is a key set.
        var document: [UInt8]? { didSet { keys = document.flatMap { try? KeySet($0).keys.count } ?? 0 } }
        /// How many keys that is.
        private(set) var keys = 0
        var isFetching = false
        var hasBeenTried = false
        var lastStarted = Instant.past
        var nextAt = Instant.past
        var lastFailure: String?
        /// Whether the workers have been sent the document by this process.
        var hasBeenTold = false
        /// When the document was known to be current, in seconds since 1970; 0 when that is not known.
        var goodAt: UInt64 = 0
    }

    /// Set by the control process once it is made.
    weak var observer: (any KeySetObserver)?
    private let loop: EventLoop
    private let issuers: [Issuer]
    private var sources: [Source] = []
    private var work: BackgroundWork<(Int, Result<KeySetFetch.Document, KeySetFetch.Failure>)>?
    private var timer: Timer?
    private let report: (String) -> Void
    private let metrics: Metrics?
    private(set) var isFirstRoundComplete = false

    /// - Parameters:
    ///   - environment: where a proxy may be named.
    ///   - fetch: makes what gets a document from a URL, by its trusted certificates and proxy.
    init(
        _ settings: Settings, files: FileBundle, environment: [String: String], metrics: Metrics? = nil, on loop: EventLoop,
        fetch: (String, [UInt8]?, KeyProxy?) -> any DocumentFetching = { KeySetFetch(url: $0, trustedPEM: $1, proxy: $2) },
        report: @escaping (String) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.report = report
        self.metrics = metrics
        issuers = settings.issuers
        for issuer in settings.issuers {
            switch issuer.keys {
            case .file(let path):
                sources.append(Source(place: .file(path, signature: nil), document: files.contents[path]))
            case .secrets: sources.append(Source(place: .fixed, hasBeenTried: true))
            case .url(let url):
                let proxy = issuer.proxy ?? KeySetFetch.parts(of: url).flatMap { KeyProxy(for: $0.host, environment: environment) }
                sources.append(Source(place: .url(fetch(url, issuer.trustedCertificate.flatMap { files.contents[$0] }, proxy))))
            }
        }
        work = try BackgroundWork(on: loop) { [unowned self] outcome in settled(outcome.0, outcome.1) }
        timer = Timer(self)
        loop.set(timer!, at: loop.now)
    }

    /// Whether a document is being fetched.
    var isFetching: Bool { sources.contains(where: \.isFetching) }

    /// What is known of every issuer's keys.
    var known: [(issuer: Int, document: [UInt8])] {
        sources.enumerated().compactMap { index, source in source.document.map { (index, $0) } }
    }

    /// Takes what an earlier control process had from `place`, a URL or a file, until it is loaded again: of a file that is
    /// newer than what the configuration was read with.
    ///
    /// - Parameter goodAt: when it was known to be current, in seconds since 1970.
    func recall(_ place: String, _ document: [UInt8], goodAt: UInt64) {
        guard (try? KeySet(document)) != nil else { return }
        for index in sources.indices where sources[index].place.name == place {
            sources[index].document = document
            sources[index].goodAt = goodAt
        }
    }

    /// What is worth remembering beyond this process: the documents by the place that they came from.
    var remembered: [(place: String, document: [UInt8], goodAt: UInt64)] {
        sources.compactMap { source in source.document.map { (source.place.name, $0, source.goodAt) } }
    }

    /// For metrics: how many keys each issuer has, and when they were known to be current last, in seconds since 1970.
    var measured: [(name: String, keys: Int, goodAt: UInt64)] {
        zip(issuers, sources).map { issuer, source in
            (issuer.name, source.keys, source.goodAt)
        }
    }

    /// A worker has seen a key that it does not know.
    func want(_ issuer: Int) {
        guard sources.indices.contains(issuer) else { return }
        switch sources[issuer].place {
        case .file:
            look(at: issuer)
            observer?.keySetUnchanged(issuer, hasFailed: sources[issuer].lastFailure != nil)
        case .fixed: observer?.keySetUnchanged(issuer, hasFailed: false)
        case .url:
            if sources[issuer].isFetching { return }
            let pause = sources[issuer].document != nil ? refetchPause : failurePause
            let isRecent = loop.now.since(sources[issuer].lastStarted) < pause
            // Held back: nobody knows what has been published since.
            if isRecent { observer?.keySetUnchanged(issuer, hasFailed: true) } else { fetch(issuer) }
        }
    }

    func fired(_ timer: Timer) {
        for index in sources.indices {
            switch sources[index].place {
            case .file: look(at: index)
            case .fixed: break
            case .url:
                withdrawIfStale(index)
                if !sources[index].isFetching, sources[index].nextAt <= loop.now { fetch(index) }
            }
        }
        checkFirstRound()
        loop.set(timer, after: tick)
    }

    private func withdrawIfStale(_ index: Int) {
        guard sources[index].document != nil, sources[index].goodAt > 0 else { return }
        let now = loop.wallSeconds
        guard now > sources[index].goodAt, now - sources[index].goodAt > issuers[index].staleMax.seconds else {
            return
        }
        // Nobody has asked for so long, or the clock was set: that is no reason yet.
        guard sources[index].lastFailure != nil else { return sources[index].nextAt = loop.now }
        report("the keys of issuer \(issuers[index].name) could not be fetched for longer than max_stale: its tokens are let in no longer")
        sources[index].document = nil
        sources[index].hasBeenTold = false
        observer?.keySetWithdrawn(index)
    }

    private func look(at index: Int) {
        guard case .file(let path, let signature) = sources[index].place else { return }
        sources[index].hasBeenTried = true
        // A descriptor of the process that read the configuration is another file here: what it held does not change.
        guard !path.hasPrefix("/proc/self/") else { return }
        guard let current = LocalFiles.signature(of: path), current != signature else { return }
        sources[index].place = .file(path, signature: current)
        do {
            take(try LocalFiles.read(path, bytesMax: 1 << 20), index)
        } catch {
            report("the keys of issuer \(issuers[index].name) stay as they are: \(path): \(error.reason)")
        }
    }

    private func fetch(_ index: Int) {
        guard case .url(let fetch) = sources[index].place else { return }
        sources[index].isFetching = true
        sources[index].lastStarted = loop.now
        work?.start {
            do throws(KeySetFetch.Failure) {
                return (index, .success(try fetch.run()))
            } catch {
                return (index, .failure(error))
            }
        }
    }

    private func settled(_ index: Int, _ result: Result<KeySetFetch.Document, KeySetFetch.Failure>) {
        sources[index].isFetching = false
        sources[index].hasBeenTried = true
        let outcome = if case .success = result { "success" } else { "failure" }
        if let metrics { metrics.add(metrics.cell(.keySetFetches, issuers[index].name, outcome)) }
        switch result {
        case .success(let document):
            let seconds = min(max(document.maxAge ?? refreshSeconds, refreshSecondsMin), refreshSecondsMax)
            // Soon enough that there is time for another attempt.
            let pause = min(.seconds(seconds), max(issuers[index].staleMax / 2, failurePause))
            sources[index].nextAt = loop.now.adding(pause)
            take(document.bytes, index)
        case .failure(let failure): failedToFetch(index, failure.reason)
        }
        checkFirstRound()
    }

    /// Keeps a document if it is a key set.
    private func take(_ document: [UInt8], _ index: Int) {
        do {
            let keys = try KeySet(document)
            sources[index].goodAt = loop.wallSeconds
            if sources[index].lastFailure != nil { report("the keys of issuer \(issuers[index].name) are loaded again") }
            sources[index].lastFailure = nil
            if sources[index].document == document, sources[index].hasBeenTold {
                return observer?.keySetUnchanged(index, hasFailed: false) ?? ()
            }
            if sources[index].document != document { tell(keys, of: index) }
            sources[index].document = document
            sources[index].hasBeenTold = true
            observer?.keySetChanged(index, document)
        } catch {
            failedToFetch(index, error.explanation)
        }
    }

    /// Says of a new set what an operator should know of it.
    private func tell(_ keys: KeySet, of index: Int) {
        let name = issuers[index].name
        let unusable = keys.unusable.map(\.text).joined(separator: "; ")
        if keys.keys.isEmpty {
            report("issuer \(name) has no key that can be used\(unusable.isEmpty ? "" : " (\(unusable))"): its tokens are let in no longer")
        } else if !unusable.isEmpty {
            report("of the keys of issuer \(name) some cannot be used: \(unusable)")
        }
    }

    private func failedToFetch(_ index: Int, _ reason: String) {
        sources[index].nextAt = loop.now.adding(failurePause)
        if sources[index].lastFailure != reason {
            let kept = sources[index].document == nil ? "there are none" : "the last good ones stay"
            report("the keys of issuer \(issuers[index].name) cannot be loaded (\(kept)): \(reason)")
        }
        sources[index].lastFailure = reason
        observer?.keySetUnchanged(index, hasFailed: true)
    }

    private func checkFirstRound() {
        guard !isFirstRoundComplete, sources.allSatisfy(\.hasBeenTried) else { return }
        isFirstRoundComplete = true
        observer?.firstRoundCompleted()
    }
}

private let tick = Nanoseconds.milliseconds(250)
private let refetchPause = Nanoseconds.seconds(10)
private let failurePause = Nanoseconds.seconds(1)
private let refreshSeconds: UInt64 = 300
private let refreshSecondsMin: UInt64 = 30
private let refreshSecondsMax: UInt64 = 86_400
