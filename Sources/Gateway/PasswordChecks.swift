import Authentication
import HTTPMessage
import Policy
import RateLimiting
import System
import Time

/// Has passwords checked on a thread of its own, one after the other, for requests that wait for it. Those that come with the same user and
/// password wait for one check.
final class PasswordChecks {
    private let verifier: PasswordVerifier
    private let loop: EventLoop
    private let waits = Waits(capacity: 4_096, ofClient: 512)
    private var work: BackgroundWork<Outcome>?
    /// Those under way, by their digest.
    private var underWay: Set<[UInt8]> = []
    /// Who goes on with a request.
    private let resume: (Passage) -> Void

    private struct Outcome: Sendable {
        let file: PasswordFileID
        let check: PasswordVerifier.Check
        let isRight: Bool
    }

    init(_ verifier: PasswordVerifier, on loop: EventLoop, resume: @escaping (Passage) -> Void) {
        self.verifier = verifier
        self.loop = loop
        self.resume = resume
    }

    /// Has a request wait for what becomes of its password.
    ///
    /// - Throws: where too many wait already.
    func wait(_ passage: Passage, for check: PasswordVerifier.Check, of file: PasswordFileID) throws(Refusal) {
        guard underWay.contains(check.digest) || underWay.count < underWayMax else { throw .overloaded }
        guard waits.add(passage, for: .password(file), until: loop.now.adding(waitMax)) else { throw .overloaded }
        passage.passwordDigest = check.digest
        guard underWay.insert(check.digest).inserted else { return }
        do {
            let work = try work ?? BackgroundWork(on: loop, isSerial: true) { [unowned self] outcome in settled(outcome) }
            self.work = work
            work.start { Outcome(file: file, check: check, isRight: check.run()) }
        } catch {
            underWay.remove(check.digest)
            throw .overloaded
        }
    }

    private func settled(_ outcome: Outcome) {
        underWay.remove(outcome.check.digest)
        let principal = outcome.isRight ? verifier.passed(outcome.check, of: outcome.file, at: loop.now) : nil
        for passage in waits.settle(.password(outcome.file), where: { $0.passwordDigest == outcome.check.digest }) {
            passage.passwordOutcome = principal.map { .right($0) } ?? .wrong
            resume(passage)
        }
    }

    /// Those who have waited for too long, to go on.
    func overdue() -> [Passage] {
        let passages = waits.overdue(at: loop.now)
        for passage in passages { passage.passwordOutcome = .late }
        return passages
    }
}

/// What has become of the check of a password that a request waited for.
enum PasswordOutcome {
    case right(Principal)
    case wrong
    case late
}

/// Different ones; each takes a tenth of a second and more.
private let underWayMax = 64
private let waitMax = Nanoseconds.seconds(10)
