import Authentication
import Forwarding
import RateLimiting
import System

/// One question to an authorizer, and who waits for what it says. Used again for the next one.
final class AuthorizerCall: InquiryHandler {
    enum Purpose {
        case request, recheck
    }

    struct Waiter {
        let passage: Passage
        let generation: UInt64
        let purpose: Purpose
        /// Whether the question is about this request, and not about one that is no other by the cache's key.
        let isAskedAbout: Bool
    }

    let id: AuthorizerID
    private unowned let calls: AuthorizerCalls
    private let inquiry: Inquiry
    private let isRepeatable: Bool
    private var waiters: [Waiter] = []
    /// By which its verdict is remembered.
    var key: VerdictKey?

    init(_ id: AuthorizerID, _ authorizer: Authorizer, _ group: UpstreamGroup, _ calls: AuthorizerCalls, on loop: EventLoop) {
        self.id = id
        self.calls = calls
        isRepeatable = authorizer.method != "POST"
        inquiry = Inquiry(to: group, on: loop, timeout: authorizer.timeout, bodyBytesMax: bodyBytesMax, keepsBody: false)
    }

    func ask(_ head: InquiryHead, _ key: VerdictKey?, of account: ClientAccount) throws(Inquiry.Failure) {
        try inquiry.ask(head, isRepeatable: isRepeatable, of: account, self)
        self.key = key
    }

    func join(_ passage: Passage, _ purpose: Purpose, isAskedAbout: Bool) {
        waiters.append(Waiter(passage: passage, generation: passage.generation, purpose: purpose, isAskedAbout: isAskedAbout))
        passage.authorizerCall = self
    }

    var isWaitedFor: Bool { !waiters.isEmpty }

    func takeWaiters() -> [Waiter] {
        let taken: [Waiter] = exchange(&waiters, with: [])
        for waiter in taken where waiter.passage.authorizerCall === self { waiter.passage.authorizerCall = nil }
        return taken
    }

    /// A passage does not wait any more.
    func leave(_ passage: Passage) {
        passage.authorizerCall = nil
        waiters.removeAll { $0.passage === passage }
    }

    /// The request that waits for it is over; a call that nobody waits for is given up.
    func abandon(_ passage: Passage) {
        leave(passage)
        guard waiters.isEmpty else { return }
        inquiry.cancel()
        calls.abandoned(self)
    }

    func inquiryEnded(_ inquiry: Inquiry, _ outcome: Result<Inquiry.Answer, Inquiry.Failure>) { calls.ended(self, outcome) }
}

/// Of a page that an authorizer sends with its refusal; nobody reads it.
private let bodyBytesMax = 65_536
