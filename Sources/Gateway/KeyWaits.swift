import Authentication
import System
import Routing

/// Requests that wait while their issuer's key set is fetched again, because of a key that is not known or a signature that is not the known
/// key's. An issuer is asked at most once in ten seconds; a request in between is told to come again, because nobody can say whether its key
/// has been published since.
final class KeyWaits {
    private struct Waiting {
        let passage: Passage
        let generation: UInt64
        let clientIP: [UInt8]

        /// Whether the request still waits, and its passage is not another's by now.
        var isCurrent: Bool { passage.generation == generation && passage.stage == .awaitingKeys }
        let doubt: Authenticator.KeyDoubt
        let since: Instant
    }

    /// Asks the control process for an issuer's keys; false when nobody can be asked now.
    var requestKeys: (_ issuer: Int) -> Bool = { _ in false }
    private var waiting: [Waiting] = []
    private var lastRequest: [Instant]
    /// By issuer, keys that were looked for in the present set and are not there.
    private var absent: [Set<String>]
    /// By issuer, whether its keys are in a file, which is looked at all the time.
    private let areFiles: [Bool]
    private let loop: EventLoop

    init(_ issuers: [Issuer], on loop: EventLoop) {
        self.loop = loop
        areFiles = issuers.map { if case .file = $0.keys { true } else { false } }
        lastRequest = [Instant](repeating: .past, count: issuers.count)
        absent = [Set<String>](repeating: [], count: issuers.count)
    }

    /// Has a request wait.
    ///
    /// - Parameter hasKeys: whether there is a key set that it was checked with.
    /// - Throws: what it is answered instead.
    func wait(_ passage: Passage, for doubt: Authenticator.KeyDoubt, hasKeys: Bool) throws(TokenError) {
        switch passage.keyFetch {
        case .notAsked: break
        case .succeeded: throw doubt.error
        case .failed: throw hasKeys && doubt.error == .signatureInvalid ? doubt.error : .keysUnavailable
        }
        if !waiting.contains(where: { $0.doubt.issuer == doubt.issuer }) {
            let last = lastRequest[doubt.issuer]
            if hasKeys, last.nanoseconds > 0, loop.now.since(last) < (areFiles[doubt.issuer] ? filePause : requestPause) {
                // A signature that is wrong is wrong, unless the key was replaced in this very moment.
                if areFiles[doubt.issuer] || doubt.error == .signatureInvalid { throw doubt.error }
                if let keyID = doubt.keyID, absent[doubt.issuer].contains(keyID) { throw doubt.error }
                throw .keysUnavailable
            }
            guard requestKeys(doubt.issuer) else { throw .keysUnavailable }
            lastRequest[doubt.issuer] = loop.now
        }
        let client = passage.context.clientIP
        if waiting.count >= waitingMax || waiting.count(where: { $0.clientIP == client }) >= waitingOfClientMax {
            waiting.removeAll { !$0.isCurrent }
            guard waiting.count < waitingMax, waiting.count(where: { $0.clientIP == client }) < waitingOfClientMax else {
                // Where there are keys, a wrong signature is taken for what it nearly always is.
                throw hasKeys && doubt.error == .signatureInvalid ? doubt.error : .keysUnavailable
            }
        }
        passage.stage = .awaitingKeys
        waiting.append(Waiting(passage: passage, generation: passage.generation, clientIP: client, doubt: doubt, since: loop.now))
    }

    /// The keys of an issuer have been replaced.
    func changed(_ issuer: Int) { if absent.indices.contains(issuer) { absent[issuer] = [] } }

    /// The fetching of an issuer's keys has ended; those who waited, to go on.
    ///
    /// - Parameter hasFailed: whether nobody knows what the keys are now.
    func settled(_ issuer: Int, hasFailed: Bool) -> [Passage] {
        take(hasFailed: hasFailed) { $0.doubt.issuer == issuer }
    }

    /// Those who have waited for too long, to go on.
    func overdue() -> [Passage] { take(hasFailed: true) { loop.now.since($0.since) > waitMax } }

    private func take(hasFailed: Bool, where condition: (Waiting) -> Bool) -> [Passage] {
        let due = waiting.filter(condition)
        guard !due.isEmpty else { return [] }
        waiting.removeAll(where: condition)
        return due.compactMap { entry in
            if !hasFailed, let keyID = entry.doubt.keyID, absent[entry.doubt.issuer].count < absentMax {
                absent[entry.doubt.issuer].insert(keyID)
            }
            guard entry.isCurrent else { return nil }
            entry.passage.stage = .deciding
            entry.passage.keyFetch = hasFailed ? .failed : .succeeded
            return entry.passage
        }
    }
}

/// What has become of the fetching of keys that a request waited for.
enum KeyFetch {
    case notAsked, succeeded, failed
}

private let requestPause: UInt64 = 10_000_000_000
private let filePause: UInt64 = 250_000_000
private let waitMax: UInt64 = 5_000_000_000
private let waitingMax = 1_024
/// Of them, from one client: tokens that name keys at random do not take every place.
private let waitingOfClientMax = 64
private let absentMax = 256
