import RateLimiting
import System
import Time

/// A `redis` of one server: named in the file, or found through sentinels.
final class SingleStore: RedisStore {
    private let link: RedisLink
    private let sentinels: SentinelWatch?

    init(_ settings: RedisSettings, at address: RedisSettings.Address, on loop: EventLoop, _ metrics: StoreMetrics?) {
        link = RedisLink(settings, to: address, title: settings.name, on: loop, metrics: metrics)
        sentinels = nil
    }

    init(_ settings: RedisSettings, behind sentinels: SentinelSettings, on loop: EventLoop, _ metrics: StoreMetrics?) {
        // Its address is not known before a sentinel has said it.
        link = RedisLink(settings, to: .host(sentinels.master, port: 0), title: settings.name, on: loop, metrics: metrics)
        self.sentinels = SentinelWatch(sentinels, of: link, on: loop)
    }

    var hasSettled: Bool { link.hasSettled }

    var observer: (any RedisStoreObserver)? {
        get { link.observer }
        set { link.observer = newValue }
    }

    func resolve(_ host: String, to addresses: [IPAddress]) {
        if let sentinels { return sentinels.resolve(host, to: addresses) }
        if case .host(host, let port) = link.server { link.resolve(to: addresses.map { .ip($0, port: port) }) }
    }

    func passwordChanged() { link.passwordChanged() }

    func parts(of calls: [RemoteCall]) -> [[Int]]? { nil }

    func isAvailable(for calls: [RemoteCall]) -> Bool { link.isAvailable }

    var timeout: Nanoseconds { link.settings.timeout }

    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { ObjectIdentifier(link) }

    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant { link.triesAgainAt }

    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] {
        link.settings.keyNames.name(ofKey: key, limit: limit, tag: tag)
    }

    func forgetKeys() { link.forgetKeys() }

    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { link.knows(fingerprint) }

    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool { link.meet(host, heard) }

    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool {
        link.read(link.settings.keyNames.ratesName(name), done)
    }

    func reset(_ call: RemoteCall) { link.reset(call) }

    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) { link.decide(calls, for: receiver) }

    func refund(_ refunds: [RemoteRefund]) { link.refund(refunds) }
}
