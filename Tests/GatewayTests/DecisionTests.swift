import Time
import System
import Authentication
import ConfigFile
import Configuration
import HTTPMessage
import TestSupport
import Testing

@testable import Gateway
@testable import Policy

/// That a request is decided in one way: what `explain` and `test` say is what the path of a worker does.
@Suite struct DecisionTests {
    /// 100,000 random requests and tokens, over random files.
    @Test func explainSaysWhatTheWorkerDoes() throws {
        var numbers = Numbers(seed: 20_261_126)
        let (one, two) = (TokenSigner(keyID: "one"), TokenSigner(keyID: "two"))
        let now = UInt64(1_800_000_000)
        var outcomes: [String: Int] = [:]
        var count = 0
        while count < 100_000 {
            let text = RandomDecisions.file(&numbers)
            let diagnostics = Diagnostics()
            let files = ["f": text, "/one.json": one.keySet, "/two.json": two.keySet]
            let settings = Settings("f", files: MemoryFiles(files), environment: [:], processors: 1, diagnostics)
            guard diagnostics.isEmpty else { continue }
            let clock = LoopClock(now: { Instant(nanoseconds: 1_000_000_000) }, wall: { now * 1_000_000_000 })
            let stage = try PathStage(settings, keys: ["one": one.keySet, "two": two.keySet], on: clock)
            let offline = OfflinePolicy(settings) { Array(files[$0]?.utf8 ?? "".utf8) }
            let tokens = RandomDecisions.tokens(12, &numbers, one, two, now)
            let frontEnd = ScriptedFrontEnd(stage)
            for _ in 0..<1_000 {
                let request = RandomDecisions.request(&numbers, tokens, now)
                frontEnd.enter(request.head(settings.tokenSources))
                // The keys are what they were.
                if case .waiting(.keySet(let issuer)) = frontEnd.passage.state { stage.path.keysSettled(of: issuer, hasFailed: false) }
                let verdict = try #require(frontEnd.verdict)
                let expected: String =
                    switch offline.decide(request).decision {
                    case .forwarded: "upstream_unresolved"
                    case .replied(let reply): reply.reason
                    case .refused(let refusal): refusal.reason
                    case .undecided: "undecided"
                    }
                if verdict.reason != expected {
                    Issue.record("\(request.method) \(request.target) \(request.fields): \(verdict), explain \(expected)\n\(text)")
                    return
                }
                outcomes[expected, default: 0] += 1
                count += 1
            }
        }
        // Every kind of outcome has come up, so that the test would see each go wrong.
        for reason in [
            "upstream_unresolved", "no_route", "method_not_allowed", "token_missing", "token_expired", "token_issuer_unknown",
            "token_issuer_not_accepted", "token_claim_unmet", "token_audience_mismatch", "scope_missing", "rule_unmet", "csrf_refused",
            "cors_refused", "preflight", "about_server", "target_dot_segment", "target_ambiguous_path", "body_too_large",
            "method_not_implemented", "route_answer",
        ] {
            #expect(outcomes[reason, default: 0] > 10, "\(reason): \(outcomes[reason, default: 0])")
        }
    }
}
