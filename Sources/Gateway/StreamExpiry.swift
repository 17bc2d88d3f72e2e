import Time
import Authentication
import Configuration
import Forwarding
import System

/// Ends streams and tunnels with the credential that let them in: when it expires, or when the keys of its issuer have changed and it would be
/// refused now.
final class StreamExpiry {
    private let authenticator: Authenticator
    private let authorizers: AuthorizerCalls
    /// How often each authorizer is asked again.
    private let rechecks: [Nanoseconds?]
    private let metrics: RequestMetrics
    private let loop: EventLoop
    private var streams: [ObjectIdentifier: Passage] = [:]
    /// Of them, those whose keys have changed since they were let in.
    private var doubted: [Passage] = []

    init(
        _ authenticator: Authenticator, _ authorizers: AuthorizerCalls, _ rechecks: [Nanoseconds?], _ metrics: RequestMetrics,
        on loop: EventLoop
    ) {
        self.authenticator = authenticator
        self.authorizers = authorizers
        self.rechecks = rechecks
        self.metrics = metrics
        self.loop = loop
    }

    /// The response turns out to be a stream, or a tunnel.
    func began(_ stream: LiveStream, of passage: Passage) {
        guard let principal = passage.identity?.principal, passage.route?.endsStreamsOnExpiry ?? true else {
            return begin(stream, of: passage, checkedAt: nil)
        }
        streams[ObjectIdentifier(passage)] = passage
        // The keys may have changed while the request was on its way.
        if authenticator.version(of: principal.credential) != passage.credentialVersion { doubted.append(passage) }
        begin(stream, of: passage, checkedAt: firstCheck(principal))
    }

    private func begin(_ stream: LiveStream, of passage: Passage, checkedAt deadline: Instant?) {
        // A call of gRPC turns out to be one only by its response.
        if let before = passage.stream { metrics.streamEnded(passage, before.kind) }
        metrics.streamBegan(passage, stream.kind)
        passage.begin(stream, checkedAt: deadline, on: loop)
    }

    /// The stream is over.
    func ended(_ passage: Passage) { streams[ObjectIdentifier(passage)] = nil }

    private func firstCheck(_ principal: Principal) -> Instant? {
        guard case .authorizer(let id) = principal.credential else { return nextCheck(principal) }
        return rechecks[id.index].map { loop.now.adding($0) }
    }

    /// When the credential may have expired; at the latest in a minute, because the host's clock may be set.
    private func nextCheck(_ principal: Principal) -> Instant {
        let left = Nanoseconds.seconds(principal.expiry) - Nanoseconds(loop.wall)
        return loop.now.adding(min(left, credentialCheckPause))
    }

    /// Whether a request that has waited would be let in now by what let it in.
    func isStillGood(_ passage: Passage) -> Bool {
        guard let principal = passage.identity?.principal else { return true }
        guard loop.wallSeconds < principal.expiry else { return false }
        return authenticator.version(of: principal.credential) == passage.credentialVersion
            || authenticator.isStillGood(principal, at: loop.wallSeconds)
    }

    /// The passage's timer has fired.
    func check(_ passage: Passage) {
        guard passage.state == .forwarding else { return }
        if passage.isExpired { return passage.frontEnd?.breakOff() ?? () }
        guard let principal = passage.identity?.principal else { return }
        if case .authorizer(let id) = principal.credential { return authorizers.recheck(passage, by: id) }
        if loop.wallSeconds < principal.expiry { return passage.check(at: nextCheck(principal), on: loop) }
        expire(passage)
    }

    /// An authorizer was asked again for a stream. One that cannot say is asked once more soon, and then the stream ends.
    func rechecked(_ passage: Passage, _ verdict: AuthorizerVerdict) {
        guard passage.state == .forwarding, let stream = passage.stream, stream.ending == nil,
            case .authorizer(let id) = passage.identity?.principal.credential, let pause = rechecks[id.index]
        else { return }
        switch verdict {
        case .allowed(let principal, _)
        where principal.subject == passage.identity?.principal.subject && passage.path.permits(principal, on: passage):
            stream.failedRechecks = 0
            passage.check(at: loop.now.adding(pause), on: loop)
        case .unavailable where stream.failedRechecks == 0:
            stream.failedRechecks += 1
            passage.check(at: loop.now.adding(min(pause, recheckRetryPause)), on: loop)
        case .allowed, .refused, .unavailable: expire(passage, .authorizerRefuses)
        }
    }

    /// Called now and then for a response that goes on: none outlives its credential, whatever its type.
    func responseGoesOn(_ passage: Passage) {
        guard passage.state == .forwarding, passage.stream == nil, let principal = passage.identity?.principal,
            passage.route?.endsStreamsOnExpiry ?? true, loop.wallSeconds >= principal.expiry
        else { return }
        begin(LiveStream(.body), of: passage, checkedAt: nil)
        expire(passage)
    }

    private func expire(_ passage: Passage, _ cause: LiveStream.Cause = .credentialExpired) {
        ended(passage)
        // What ends for another reason has its own last word.
        guard let stream = passage.stream, stream.ending == nil else { return }
        stream.ending = cause
        // It ends in its own terms, or without.
        passage.check(at: loop.now.adding(endingTime), on: loop)
        passage.frontEnd?.end(stream)
    }

    /// An issuer's keys have changed: streams that were let in with the old ones are looked at again, a few at a time.
    func keysChanged(of issuer: IssuerID) {
        doubted += streams.values.filter { $0.identity?.principal.credential == .issuer(issuer) }
        recheckSome()
    }

    /// Called now and then.
    func recheckSome() {
        for _ in 0..<min(doubted.count, recheckedAtOnce) {
            guard let passage = doubted.popLast(), passage.state == .forwarding, let principal = passage.identity?.principal,
                streams[ObjectIdentifier(passage)] != nil
            else { continue }
            if !authenticator.isStillGood(principal, at: loop.wallSeconds) { expire(passage) }
        }
    }
}

private let endingTime = Nanoseconds.seconds(5)
private let recheckRetryPause = Nanoseconds.seconds(5)
private let credentialCheckPause = Nanoseconds.seconds(60)
/// A signature costs up to 120 µs.
private let recheckedAtOnce = 64
