import Time
import Routing
import Bytes
import ConfigFile
import Configuration
import RateLimiting
import System
import TestSupport
import Testing

@testable import Authentication
@testable import Gateway
@testable import Policy

/// A store of limits that responses when the test wants.
private final class ScriptedStore: RemoteStore {
    var isAvailable = true
    func isAvailable(for calls: [RemoteCall]) -> Bool { isAvailable }
    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant { now }
    var timeout: Nanoseconds { .milliseconds(50) }
    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { ObjectIdentifier(self) }
    func parts(of calls: [RemoteCall]) -> [[Int]]? { nil }
    private(set) var pending: [(calls: [RemoteCall], receiver: any RemoteDecisionReceiver)] = []
    private(set) var refunds = 0

    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] { key }
    func forgetKeys() {}
    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { true }
    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) { pending.append((calls, receiver)) }
    func reset(_ call: RemoteCall) {}
    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool { false }
    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool { false }
    func refund(_ refunds: [RemoteRefund]) { self.refunds += refunds.count }

    /// Replies to the latest call.
    func answer(allowing isAllowed: Bool?) {
        let (calls, receiver) = pending.removeLast()
        receiver.decided(
            isAllowed.map { isAllowed in
                calls.map { _ in
                    GCRA.Decision(
                        isAllowed: isAllowed, granted: isAllowed ? 1 : 0, arrival: 0, remaining: 1, resetAfter: .seconds(1),
                        retryAfter: isAllowed ? .zero : .seconds(3))
                }
            }, at: .past)
    }
}

/// The path of a request as a runner: every stage, every wait, and every edge of the passage's state.
@Suite struct RequestPathTests {
    private static let file = """
        listen 127.0.0.1:1 { plaintext; }
        redis main { address 127.0.0.1:3; }
        client_limits { requests 3; requests_per_subject 2; }
        issuer sso { url https://sso.example; keys https://sso.example/keys; audience any; algorithms EdDSA; }
        limit early { rate 5/minute; key $client.ip; store main; when_store_fails closed; }
        limit late { rate 5/minute; key $claim.sub; store main; when_store_fails closed; }
        upstream app { server upstream.invalid:1; }
        route /open { upstream app; public; }
        route /in { upstream app; auth sso; }
        route /all { upstream app; auth sso; limit early late; }
        """

    private let signer = TokenSigner(keyID: "k1")
    private let store: ScriptedStore
    private let stage: PathStage
    private let now = Box<UInt64>(1_000_000_000_000)

    private final class Box<Value>: @unchecked Sendable {
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    init() throws {
        let diagnostics = Diagnostics()
        let settings = Settings("f", files: MemoryFiles(["f": Self.file]), environment: [:], processors: 1, diagnostics)
        try #require(diagnostics.isEmpty, "\(diagnostics.messages)")
        store = ScriptedStore()
        let now = now
        let clock = LoopClock(now: { Instant(nanoseconds: now.value) }, wall: { 1_800_000_000_000_000_000 })
        stage = try PathStage(settings, stores: ["main": store], on: clock)
    }

    private func loadKeys() throws { stage.authenticator.tokens.replaceKeys(of: 0, with: try KeySet(Array(signer.keySet.utf8))) }

    private func head(_ path: String, subject: String? = "alice", signedBy other: TokenSigner? = nil) -> [UInt8] {
        var text = "GET \(path) HTTP/1.1\r\nHost: a\r\n"
        if let subject {
            let token = (other ?? signer).token("{\"iss\":\"https://sso.example\",\"exp\":1800001000,\"sub\":\"\(subject)\"}")
            text += "Authorization: Bearer \(String(decoding: token, as: UTF8.self))\r\n"
        }
        return [UInt8]((text + "\r\n").utf8)
    }

    /// Lets the loop see that time has passed.
    private func pass(seconds: UInt64) {
        now.value += seconds * 1_000_000_000
        stage.loop.turn(waitingAtMost: 0)
    }

    @Test func walksEveryStageAndEveryWait() throws {
        let frontEnd = ScriptedFrontEnd(stage)
        let passage = frontEnd.passage
        #expect(passage.state == .idle)
        frontEnd.enter(head("/all"))
        #expect(passage.state == .waiting(.earlyLimits) && store.pending.count == 1)
        store.answer(allowing: true)
        #expect(passage.state == .waiting(.keySet(issuer: 0)) && stage.requester.asked == [0])
        try loadKeys()
        stage.path.keysSettled(of: 0, hasFailed: false)
        #expect(passage.state == .waiting(.limits) && passage.identity?.principal.subject == "alice")
        store.answer(allowing: true)
        // The upstream has no address: the last stage refuses, and the passage is free again.
        #expect(frontEnd.verdict?.reason == "upstream_unresolved" && frontEnd.verdict?.status == 503)
        #expect(passage.state == .idle && passage.identity == nil)
        #expect(frontEnd.replies.count == 1)
    }

    @Test func eachStageRefusesForItself() throws {
        let frontEnd = ScriptedFrontEnd(stage)
        func reason(_ head: [UInt8], _ steps: () -> Void = {}) -> String? {
            frontEnd.enter(head)
            steps()
            return frontEnd.verdict?.reason
        }
        #expect(reason(head("/nothing")) == "no_route")
        #expect(reason(head("/in", subject: nil)) == "token_missing")
        #expect(reason(head("/open", subject: nil)) == "upstream_unresolved")
        #expect(reason(head("/all")) { store.answer(allowing: false) } == "limit_exceeded")
        #expect(reason(head("/all")) { store.answer(allowing: nil) } == "limit_store_unavailable")
        try loadKeys()
        #expect(reason(head("/in")) == "upstream_unresolved")
        #expect(
            reason(head("/all")) {
                store.answer(allowing: true)
                store.answer(allowing: false)
            } == "limit_exceeded")
        // What the first limit had charged is given back.
        #expect(store.refunds == 1)
        stage.path.memory = .extreme
        #expect(reason(head("/open")) == "overloaded")
        stage.path.memory = .none
        #expect(reason(head("/open")) == "upstream_unresolved")
    }

    @Test func clientsAndSubjectsHaveShares() throws {
        try loadKeys()
        let account = ClientAccount(IPAddress("192.0.2.1"))
        let waiting = (0..<3).map { _ in ScriptedFrontEnd(stage, account: account) }
        for frontEnd in waiting.prefix(2) {
            frontEnd.enter(head("/all"))
            store.answer(allowing: true)
            #expect(frontEnd.passage.state == .waiting(.limits))
        }
        waiting[2].enter(head("/in"))
        #expect(waiting[2].verdict?.reason == "too_many_requests_of_subject")
        waiting[2].enter(head("/all", subject: "bob"))
        #expect(waiting[2].passage.state == .waiting(.earlyLimits))
        let fourth = ScriptedFrontEnd(stage, account: account)
        fourth.enter(head("/open"))
        #expect(fourth.verdict?.reason == "too_many_requests_at_once")
        for _ in 0..<3 { store.answer(allowing: false) }
        for frontEnd in waiting { #expect(frontEnd.passage.state == .idle) }
        // All shares are free again.
        fourth.enter(head("/in"))
        #expect(fourth.verdict?.reason == "upstream_unresolved")
    }

    /// A client that goes away forgets what its request waited for, and the next request of its passage is another one.
    @Test func whatComesForOneRequestReachesNoOther() throws {
        let frontEnd = ScriptedFrontEnd(stage)
        frontEnd.enter(head("/all"))
        stage.path.finish(frontEnd.passage, isComplete: false)
        #expect(frontEnd.passage.state == .idle)
        store.answer(allowing: true)
        #expect(frontEnd.passage.state == .idle && stage.requester.asked.isEmpty)
        frontEnd.enter(head("/in"))
        #expect(frontEnd.passage.state == .waiting(.keySet(issuer: 0)))
        stage.path.finish(frontEnd.passage, isComplete: false)
        frontEnd.enter(head("/all"))
        #expect(frontEnd.passage.state == .waiting(.earlyLimits))
        stage.path.keysSettled(of: 0, hasFailed: true)
        #expect(frontEnd.passage.state == .waiting(.earlyLimits) && frontEnd.verdict == nil)
    }

    // MARK: - Waiting for keys

    @Test func anIssuerIsAskedOnceForAllWhoWait() throws {
        let frontEnds = (0..<5).map { _ in ScriptedFrontEnd(stage) }
        for frontEnd in frontEnds { frontEnd.enter(head("/in", subject: "s\(ObjectIdentifier(frontEnd).hashValue)")) }
        #expect(stage.requester.asked == [0])
        stage.path.keysSettled(of: 0, hasFailed: true)
        for frontEnd in frontEnds { #expect(frontEnd.verdict?.reason == "keys_unavailable") }
        // Nothing is known of the issuer yet: it is asked again at once.
        frontEnds[0].enter(head("/in"))
        #expect(stage.requester.asked == [0, 0])
        stage.path.keysSettled(of: 0, hasFailed: true)
        stage.requester.isThere = false
        frontEnds[0].enter(head("/in"))
        #expect(frontEnds[0].verdict?.reason == "keys_unavailable")
    }

    @Test func anUnknownKeyHasTheSetFetchedAtMostOnceInTenSeconds() throws {
        try loadKeys()
        let other = TokenSigner(keyID: "k2")
        let frontEnd = ScriptedFrontEnd(stage)
        frontEnd.enter(head("/in", signedBy: other))
        #expect(frontEnd.passage.state == .waiting(.keySet(issuer: 0)))
        // It has been looked for, and is not there: from now on that is known.
        stage.path.keysSettled(of: 0, hasFailed: false)
        #expect(frontEnd.verdict?.reason == "token_key_unknown")
        frontEnd.enter(head("/in", signedBy: other))
        #expect(frontEnd.verdict?.reason == "token_key_unknown" && stage.requester.asked == [0])
        // Of another key nobody knows.
        frontEnd.enter(head("/in", signedBy: TokenSigner(keyID: "k3")))
        #expect(frontEnd.verdict?.reason == "keys_unavailable" && stage.requester.asked == [0])
        pass(seconds: 11)
        frontEnd.enter(head("/in", signedBy: other))
        #expect(frontEnd.passage.state == .waiting(.keySet(issuer: 0)) && stage.requester.asked == [0, 0])
        // The new set has it.
        stage.authenticator.tokens.replaceKeys(of: 0, with: try KeySet(Array(other.keySet.utf8)))
        stage.path.keysChanged(of: 0)
        stage.path.keysSettled(of: 0, hasFailed: false)
        #expect(frontEnd.verdict?.reason == "upstream_unresolved")
    }

    @Test func nobodyWaitsForEver() throws {
        let frontEnd = ScriptedFrontEnd(stage)
        frontEnd.enter(head("/in"))
        pass(seconds: 4)
        stage.path.endOverdueWaits()
        #expect(frontEnd.passage.state == .waiting(.keySet(issuer: 0)))
        pass(seconds: 2)
        stage.path.endOverdueWaits()
        #expect(frontEnd.verdict?.reason == "keys_unavailable")
    }

    @Test func waitingIsBoundedForAllAndForEachClient() throws {
        let waits = Waits(capacity: 4, ofClient: 2)
        let frontEnds = (0..<6).map { _ in ScriptedFrontEnd(stage) }
        let deadline = Instant(nanoseconds: .max)
        func doesWait(_ index: Int, _ client: String) -> Bool {
            let passage = frontEnds[index].passage
            passage.context.begin(clientIP: [UInt8](client.utf8), isHTTPS: true)
            return waits.add(passage, for: .keySet(issuer: 0), until: deadline)
        }
        #expect(doesWait(0, "a") && doesWait(1, "a") && !doesWait(2, "a"))
        #expect(doesWait(2, "b") && doesWait(3, "c") && !doesWait(4, "d"))
        // One that does not wait any more has its slot taken over.
        frontEnds[0].passage.state = .deciding
        #expect(doesWait(4, "d") && !doesWait(5, "e"))
        #expect(waits.hasAny(for: .keySet(issuer: 0)) && !waits.hasAny(for: .keySet(issuer: 1)))
        #expect(waits.settle(.keySet(issuer: 1)).isEmpty)
        #expect(waits.settle(.keySet(issuer: 0)).count == 4)
        #expect(waits.settle(.keySet(issuer: 0)).isEmpty)
    }
}
