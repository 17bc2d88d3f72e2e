import RateLimiting
import Routing
import System

/// What a worker has its limits do besides deciding on requests.
extension RequestPath {
    /// What an operator asks of a limit.
    func answer(_ question: LimitQuestion, _ done: @escaping (LimitAnswer) -> Void) { limiter.answer(question, at: loop.now, done) }

    /// The worker takes no new requests.
    func giveLeasesBack() { limiter.giveLeasesBack(at: loop.now) }

    /// Called now and then.
    func keepLimits() { limiter.upkeep(at: loop.now) }

    func quota(ofPlan number: Int, _ limit: LimitID) -> Quota { limiter.quota(ofPlan: number, limit) }

    var hasReadPlans: Bool { limiter.hasReadPlans }

    /// - Parameters:
    ///   - complain: told what an operator has to know of plans.
    ///   - plansAreRead: called when a store has said its rates the first time.
    func onPlans(_ complain: @escaping (String) -> Void, _ plansAreRead: @escaping () -> Void) {
        limiter.complain = complain
        limiter.plansAreRead = plansAreRead
    }
}
