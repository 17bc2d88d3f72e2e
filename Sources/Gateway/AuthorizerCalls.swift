import Authentication
import Bytes
import Forwarding
import HTTPMessage
import Policy
import RateLimiting
import Routing
import System
import Time

/// Asks the external authorizers of the file, for requests that wait for what they say.
///
/// Each waits for a call of its own; where the file lets verdicts be remembered, requests that the cache does not tell apart wait for one call.
/// How many there are at once is bounded by what each client may have under way and by the connections of the authorizer's upstream, for which
/// clients take turns.
final class AuthorizerCalls {
    private struct Service {
        let authorizer: Authorizer
        let group: UpstreamGroup
        /// Calls that may be used again.
        var spare: [AuthorizerCall] = []
        /// Those under way that others may wait for too, by the fingerprint of the cache's key.
        var shared: [UInt64: AuthorizerCall] = [:]
    }

    private var services: [Service]
    private let verifier: AuthorizerVerifier
    private let forwardedFields: ForwardedFields
    private let filter: FieldFilter
    private let loop: EventLoop

    init(
        _ authorizers: [(authorizer: Authorizer, group: UpstreamGroup)], _ verifier: AuthorizerVerifier, _ forwardedFields: ForwardedFields,
        _ filter: FieldFilter, on loop: EventLoop
    ) {
        services = authorizers.map { Service(authorizer: $0.authorizer, group: $0.group) }
        self.verifier = verifier
        self.forwardedFields = forwardedFields
        self.filter = filter
        self.loop = loop
    }

    /// What an authorizer says of a request; nil where the passage waits for it.
    func verdict(of id: AuthorizerID, on passage: Passage) throws(Refusal) -> AuthorizerVerdict? {
        let key = verifier.key(id, of: passage.context)
        if let key {
            if let known = verifier.known(id, key, at: loop.now) { return known }
            if let call = services[id.index].shared[key.fingerprint], call.key?.bytes == key.bytes {
                call.join(passage, .request, isAskedAbout: false)
                passage.state = .waiting(.authorizer(id))
                return nil
            }
        }
        passage.state = .waiting(.authorizer(id))
        do {
            try begin(id, for: passage, .request, key)
        } catch {
            passage.state = .deciding
            switch error {
            case .unavailable(let reason): return .unavailable(reason)
            case .refused(let refusal): throw refusal
            }
        }
        return nil
    }

    /// Asks again whether a stream or a tunnel may go on; ``StreamExpiry/rechecked(_:_:)`` is told.
    func recheck(_ passage: Passage, by id: AuthorizerID) {
        do {
            try begin(id, for: passage, .recheck, nil)
        } catch {
            switch error {
            case .unavailable(let reason): passage.path.expiry.rechecked(passage, .unavailable(reason))
            case .refused: passage.path.expiry.rechecked(passage, .refused(AuthorizerRefusal(by: id, asksForCredential: false)))
            }
        }
    }

    private enum BeginError: Error {
        case unavailable(String)
        case refused(Refusal)
    }

    private func begin(_ id: AuthorizerID, for passage: Passage, _ purpose: AuthorizerCall.Purpose, _ key: VerdictKey?) throws(BeginError) {
        let head: InquiryHead
        do {
            head = try InquiryHead(services[id.index].authorizer, for: passage.context, from: passage.origin, forwardedFields, filter)
        } catch {
            throw .refused(.forwarding(error))
        }
        var list: [AuthorizerCall] = exchange(&services[id.index].spare, with: [])
        let call = list.popLast() ?? AuthorizerCall(id, services[id.index].authorizer, services[id.index].group, self, on: loop)
        swap(&list, &services[id.index].spare)
        call.join(passage, purpose, isAskedAbout: true)
        do throws(Inquiry.Failure) {
            try call.ask(head, key, of: passage.account ?? ClientAccount())
        } catch {
            call.leave(passage)
            give(call)
            throw .unavailable(Self.explanation(error))
        }
        if let key, call.isWaitedFor { services[id.index].shared[key.fingerprint] = call }
    }

    /// What came of a call.
    func ended(_ call: AuthorizerCall, _ outcome: Result<Inquiry.Answer, Inquiry.Failure>) {
        let (verdict, isShared): (AuthorizerVerdict, Bool)
        switch outcome {
        case .success(let answer):
            (verdict, isShared) = verifier.verdict(
                of: call.id, AuthorizerResponse(status: answer.status) { answer.values($0) }, remembering: call.key, at: loop.now)
        case .failure(let failure): (verdict, isShared) = (.unavailable(Self.explanation(failure)), true)
        }
        forget(call)
        let waiters = call.takeWaiters()
        give(call)
        for waiter in waiters where waiter.passage.generation == waiter.generation {
            let passage = waiter.passage
            switch waiter.purpose {
            case .recheck: passage.path.expiry.rechecked(passage, verdict)
            case .request:
                guard passage.state == .waiting(.authorizer(call.id)) else { continue }
                if waiter.isAskedAbout || isShared { goOn(passage, verdict) } else { askAlone(passage, call.id) }
            }
        }
    }

    private func goOn(_ passage: Passage, _ verdict: AuthorizerVerdict) {
        passage.authorizerVerdict = verdict
        passage.path.resume(passage)
    }

    /// What another one was told is for that one alone.
    private func askAlone(_ passage: Passage, _ id: AuthorizerID) {
        do {
            try begin(id, for: passage, .request, nil)
        } catch {
            switch error {
            case .unavailable(let reason): goOn(passage, .unavailable(reason))
            case .refused: goOn(passage, .unavailable("the request to it cannot be sent"))
            }
        }
    }

    /// Nobody waits for a call any more.
    func abandoned(_ call: AuthorizerCall) {
        forget(call)
        give(call)
    }

    private func forget(_ call: AuthorizerCall) {
        guard let key = call.key, services[call.id.index].shared[key.fingerprint] === call else { return }
        services[call.id.index].shared[key.fingerprint] = nil
    }

    private func give(_ call: AuthorizerCall) {
        call.key = nil
        guard services[call.id.index].spare.count < spareMax else { return }
        services[call.id.index].spare.append(call)
    }

    private static func explanation(_ failure: Inquiry.Failure) -> String {
        switch failure {
        case .forwarding(let error): error.explanation
        case .timedOut: "it did not respond within its timeout"
        case .tooLarge: "its response is too large"
        case .unusable(let part): "\(part) of the request to it cannot be sent"
        }
    }
}

private let spareMax = 1_024
