import Routing
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
    /// The addresses of the clients that those under way are for, by the digest.
    private var underWay: [[UInt8]: [UInt8]] = [:]
    /// Who goes on with a request.
    private let resume: (Passage) -> Void

    private struct Outcome: Sendable {
        let file: PasswordFileID
        let subject: PasswordVerifier.Subject
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
        let (subject, client) = (check.subject, passage.context.clientIP)
        let isNew = underWay[subject.digest] == nil
        // One client takes a few places, and leaves the others.
        if isNew, underWay.values.count(where: { $0 == client }) >= underWayOfClientMax { throw .tooManyAtOnce(subject: false) }
        guard !isNew || underWay.count < underWayMax, waits.add(passage, for: .password(file), until: loop.now.adding(waitMax)) else {
            throw .overloaded
        }
        passage.passwordDigest = subject.digest
        guard isNew else { return }
        do {
            let work = try work ?? BackgroundWork(on: loop, isSerial: true) { [unowned self] outcome in settled(outcome) }
            self.work = work
            underWay[subject.digest] = client
            work.start { Outcome(file: file, subject: subject, isRight: check.run()) }
        } catch {
            throw .overloaded
        }
    }

    private func settled(_ outcome: Outcome) {
        underWay[outcome.subject.digest] = nil
        let principal = outcome.isRight ? verifier.passed(outcome.subject, of: outcome.file, at: loop.now) : nil
        for passage in waits.settle(.password(outcome.file), where: { $0.passwordDigest == outcome.subject.digest }) {
            // One that ended while another went on waits no longer.
            guard passage.state == .waiting(.password(outcome.file)), passage.passwordDigest == outcome.subject.digest else { continue }
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
private let underWayOfClientMax = 4
private let waitMax = Nanoseconds.seconds(10)
