import HTTP2
import Bytes
import Configuration
import HTTP1
import HTTPMessage
import Observability
import Forwarding
import Processes
import RateLimiting
import Routing
import System
import Testing

@testable import Authentication
@testable import Gateway
@testable import Policy

/// A worker's request path without a worker: real settings, keys, limits and upstream groups, on a loop that the test turns.
final class PathStage {
    let settings: Settings
    let loop: EventLoop
    let authenticator: Authenticator
    let path: RequestPath
    let memory: ProcessMemory
    private let host: HostMemory
    private let services: RateLimiter
    let requester = ScriptedKeys()
    let metrics: Metrics

    /// - Parameter stores: those of the limits.
    init(_ settings: Settings, keys: [String: String] = [:], stores: [String: any RemoteStore] = [:], on clock: LoopClock = .host) throws {
        self.settings = settings
        loop = try EventLoop(clock: clock)
        host = try HostMemory(limitKeys: 1_024)
        memory = try ProcessMemory()
        metrics = Metrics(memory.metrics)
        authenticator = Authenticator(
            issuers: settings.issuers, sources: settings.tokenSources, cacheCapacity: 256, cacheHash: SipHash(key0: 3, key1: 4),
            requirements: settings.requirements)
        for (index, issuer) in settings.issuers.enumerated() {
            if let document = keys[issuer.name] {
                authenticator.tokens.replaceKeys(of: IssuerID(index), with: try KeySet(Array(document.utf8)))
            }
        }
        services = RateLimiter(limits: settings.limits, memory: host.limits, stores: stores)
        let windows = WindowBudget(bytes: 1 << 20)
        let buffers = BufferPool(bufferBytes: 16_384, keptMax: 4)
        let (loop, metrics) = (loop, metrics)
        path = RequestPath(
            settings: settings, loop: loop, authenticator: authenticator, limiter: services,
            groups: settings.upstreams.map { UpstreamGroup($0, buffers: buffers, windows: windows, metrics: metrics, on: loop) },
            log: RequestLog(ring: memory.logRing, settings), counters: memory.counters, metrics: metrics)
        path.keyFetches.requester = requester
    }
}

/// A control process that fetches keys when the test says so.
final class ScriptedKeys: KeyRequester {
    var isThere = true
    private(set) var asked: [IssuerID] = []

    func requestKeys(of issuer: IssuerID) -> Bool {
        guard isThere else { return false }
        asked.append(issuer)
        return true
    }
}

extension IssuerID: ExpressibleByIntegerLiteral {
    public init(integerLiteral index: Int) { self.init(index) }
}

/// A connection that keeps what it is told in place of sending it.
final class ScriptedFrontEnd: PassageFrontEnd {
    let passage: Passage
    private let stage: PathStage
    private(set) var replies: [Reply] = []
    private(set) var isForwarding = false
    /// Which client asks.
    private let account: ClientAccount

    init(_ stage: PathStage, account: ClientAccount = ClientAccount()) {
        self.stage = stage
        self.account = account
        passage = Passage(
            stage.path, from: DownstreamOrigin(peer: [UInt8]("192.0.2.1".utf8), isPeerTrusted: false, isTLS: true, addresses: nil))
        passage.serve(passage.origin, isHTTP2: false)
    }

    /// Sends a head on its path.
    func enter(_ head: [UInt8], clientIP: String = "192.0.2.1") {
        verdict = nil
        isForwarding = false
        passage.context.head.reset()
        passage.context.begin(clientIP: [UInt8](clientIP.utf8), isHTTPS: true)
        do throws(MessageError) {
            var parser = RequestParser(stage.settings.clientLimits.head)
            let result = try parser.parse(head.span, into: &passage.context.head)
            passage.begin(for: self, of: account, over: account, at: stage.loop.now)
            guard case .complete = result else { throw .badRequestLine }
            let envelope = try passage.readEnvelope()
            if envelope.expectation == .unknown { throw .unknownExpectation }
        } catch {
            if passage.state == .idle { passage.begin(for: self, of: account, over: account, at: stage.loop.now) }
            return stage.path.refuse(passage, .malformed(error))
        }
        stage.path.enter(passage)
    }

    /// The status and the reason of what the gateway said itself; nil while it has said nothing.
    private(set) var verdict: (status: Int, reason: String)?

    func respond(_ reply: Reply) {
        replies.append(reply)
        switch passage.verdict {
        case .refused(let refusal): verdict = (refusal.status, refusal.reason)
        case .replied(let own): verdict = (own.status, own.reason)
        case .none, .brokenOff: verdict = nil
        }
        stage.path.finish(passage, isComplete: true)
    }

    func forwardingBegan() { isForwarding = true }
    func send(body: Span<UInt8>) {}
    func closeTunnel() {}
    func endResponse(of stream: LiveStream) {}
    func breakOff() {}
    func received(interim head: borrowing ResponseHead) {}
    func received(head: borrowing ResponseHead, framing: BodyFraming) {}
    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {}
    func responseEnded() {}
    func responseFailed(_ error: ForwardingError) { stage.path.refuse(passage, .forwarding(error)) }
    var takesResponse: Bool { true }
    func uploadMayContinue() {}
}
