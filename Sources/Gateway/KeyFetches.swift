import Time
import Authentication
import System

/// Has key sets fetched again for requests whose token names a key that is not known, or whose signature is not the known key's. An issuer is
/// asked at most once in ten seconds; a request in between is told to come again, because nobody can say whether its key has been published
/// since.
final class KeyFetches {
    /// Set by the worker once it is made.
    weak var requester: (any KeyRequester)?
    private let waits = Waits()
    private var issuers: [IssuerState]
    private let loop: EventLoop

    private struct IssuerState {
        /// Whether the keys are in a file, which is looked at all the time.
        let isFile: Bool
        var requestedAt = Instant.past
        /// Keys that a request waits for.
        var wanted: Set<String> = []
        /// Keys that were looked for in the present set and are not there.
        var absent: Set<String> = []
    }

    init(_ issuers: [Issuer], on loop: EventLoop) {
        self.loop = loop
        self.issuers = issuers.map { IssuerState(isFile: $0.keysAreInFile) }
    }

    /// Has a request wait.
    ///
    /// - Parameter hasKeys: whether there is a key set that it was checked with.
    /// - Throws: what it is answered instead.
    func wait(_ passage: Passage, for doubt: KeyDoubt, hasKeys: Bool) throws(CredentialError) {
        switch passage.keyFetch {
        case .notAsked: break
        case .succeeded: throw doubt.error
        case .failed: throw hasKeys && doubt.error == .signatureInvalid ? doubt.error : .keysUnavailable
        }
        let dependency = Dependency.keySet(issuer: doubt.issuer)
        if !waits.hasAny(for: dependency) { try request(doubt, hasKeys: hasKeys) }
        guard waits.add(passage, for: dependency, until: loop.now.adding(waitMax)) else {
            // Where there are keys, a wrong signature is taken for what it nearly always is.
            throw hasKeys && doubt.error == .signatureInvalid ? doubt.error : .keysUnavailable
        }
        if let keyID = doubt.keyID, issuers[doubt.issuer.index].wanted.count < namesMax { issuers[doubt.issuer.index].wanted.insert(keyID) }
    }

    private func request(_ doubt: KeyDoubt, hasKeys: Bool) throws(CredentialError) {
        let issuer = issuers[doubt.issuer.index]
        let pause = issuer.isFile ? filePause : requestPause
        if hasKeys, issuer.requestedAt.nanoseconds > 0, loop.now.since(issuer.requestedAt) < pause {
            // A signature that is wrong is wrong, unless the key was replaced in this very moment.
            if issuer.isFile || doubt.error == .signatureInvalid { throw doubt.error }
            if let keyID = doubt.keyID, issuer.absent.contains(keyID) { throw doubt.error }
            throw .keysUnavailable
        }
        guard requester?.requestKeys(of: doubt.issuer) ?? false else { throw .keysUnavailable }
        issuers[doubt.issuer.index].requestedAt = loop.now
    }

    /// The keys of an issuer have been replaced.
    func changed(_ issuer: IssuerID) { if issuers.indices.contains(issuer.index) { issuers[issuer.index].absent = [] } }

    /// The fetching of an issuer's keys has ended; those who waited for it, to go on.
    ///
    /// - Parameter hasFailed: whether nobody knows what the keys are now.
    func settled(_ issuer: IssuerID, hasFailed: Bool) -> [Passage] {
        guard issuers.indices.contains(issuer.index) else { return [] }
        if !hasFailed, issuers[issuer.index].absent.count < namesMax {
            issuers[issuer.index].absent.formUnion(issuers[issuer.index].wanted)
        }
        issuers[issuer.index].wanted = []
        let passages = waits.settle(.keySet(issuer: issuer))
        for passage in passages { passage.keyFetch = hasFailed ? .failed : .succeeded }
        return passages
    }

    /// Those who have waited for too long, to go on.
    func overdue() -> [Passage] {
        let passages = waits.overdue(at: loop.now)
        for passage in passages { passage.keyFetch = .failed }
        return passages
    }
}

/// The way to the process that fetches key sets.
protocol KeyRequester: AnyObject {
    /// False when it cannot be asked now.
    func requestKeys(of issuer: IssuerID) -> Bool
}

/// What has become of the fetching of keys that a request waited for.
enum KeyFetch {
    case notAsked, succeeded, failed
}

private let requestPause = Nanoseconds.seconds(10)
private let filePause = Nanoseconds.milliseconds(250)
private let waitMax = Nanoseconds.seconds(5)
/// Keys of one issuer that are remembered as wanted, or as absent.
private let namesMax = 256
