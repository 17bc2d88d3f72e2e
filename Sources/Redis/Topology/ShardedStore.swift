import Bytes
import RateLimiting
import System
import Time

/// A `redis` of several servers that know nothing of each other. Which one has a key, rendezvous hashing says: the one with the highest score of the key, so that
/// a server more or less concerns its own part of the keys alone. Source: Thaler and Ravishankar, "Using name-based mappings to increase hit
/// rates", 1998.
final class ShardedStore: RedisStore, RedisLinkOwner {
    private struct Shard {
        let link: RedisLink
        let hash: SipHash
        /// Since when it has been away.
        var awaySince: Instant?
    }

    private let settings: RedisSettings
    private let loop: EventLoop
    private let metrics: StoreMetrics?
    private var shards: [Shard] = []
    weak var observer: (any RedisStoreObserver)? { didSet { for shard in shards { shard.link.observer = observer } } }

    init(_ settings: RedisSettings, _ addresses: [RedisSettings.Address], on loop: EventLoop, _ metrics: StoreMetrics?) {
        self.settings = settings
        self.loop = loop
        self.metrics = metrics
        shards = addresses.map { address in
            let text = Array(address.text.utf8)
            let hash = SipHash(
                key0: SipHash(key0: 0, key1: 1).hash(text.span), key1: SipHash(key0: 2, key1: 3).hash(text.span))
            let link = RedisLink(settings, to: address, title: "\(settings.name) (\(address.text))", on: loop, metrics: metrics)
            return Shard(link: link, hash: hash, awaySince: loop.now)
        }
        for shard in shards { shard.link.owner = self }
    }

    var hasSettled: Bool { shards.allSatisfy(\.link.hasSettled) }

    func resolve(_ host: String, to addresses: [IPAddress]) {
        for shard in shards {
            if case .host(host, let port) = shard.link.server { shard.link.resolve(to: addresses.map { .ip($0, port: port) }) }
        }
    }

    func passwordChanged() { for shard in shards { shard.link.passwordChanged() } }

    /// The server of a key; one that has been away for `rehash_after` has none.
    private func shard(of name: [UInt8]) -> Int {
        let place = KeyNames.placing(name)
        var (best, highest) = (0, UInt64(0))
        var isBestAway = true
        for index in shards.indices {
            let score = shards[index].hash.hash(place.span)
            let isAway = isGivenAway(index)
            guard isBestAway && !isAway || isAway == isBestAway && score >= highest else { continue }
            (best, highest, isBestAway) = (index, score, isAway)
        }
        return best
    }

    private func isGivenAway(_ index: Int) -> Bool {
        guard settings.rehashAfter > .zero, let since = shards[index].awaySince else { return false }
        return loop.now.since(since) >= settings.rehashAfter
    }

    func parts(of calls: [RemoteCall]) -> [[Int]]? {
        guard calls.count > 1 else { return nil }
        let places = calls.map { shard(of: $0.name) }
        guard places.contains(where: { $0 != places[0] }) else { return nil }
        return Dictionary(grouping: calls.indices) { places[$0] }.values.sorted { $0[0] < $1[0] }
    }

    func isAvailable(for calls: [RemoteCall]) -> Bool { calls.first.map { shards[shard(of: $0.name)].link.isAvailable } ?? false }

    var timeout: Nanoseconds { settings.timeout }

    func server(of calls: [RemoteCall]) -> ObjectIdentifier? { calls.first.map { ObjectIdentifier(shards[shard(of: $0.name)].link) } }

    func triesAgainAt(_ calls: [RemoteCall], now: Instant) -> Instant {
        calls.first.map { shards[shard(of: $0.name)].link.triesAgainAt } ?? now
    }

    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]?) -> [UInt8] { settings.keyNames.name(ofKey: key, limit: limit, tag: tag) }

    func forgetKeys() { for shard in shards { shard.link.forgetKeys() } }

    func knows(_ fingerprint: UInt64, name: [UInt8]) -> Bool { shards[shard(of: name)].link.knows(fingerprint) }

    func decide(_ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver) {
        guard let first = calls.first else { return receiver.decided(nil, at: loop.now) }
        shards[shard(of: first.name)].link.decide(calls, for: receiver)
    }

    func meet(_ host: [UInt8], _ heard: @escaping (UInt64) -> Void) -> Bool {
        shards[shard(of: settings.keyNames.membersName)].link.meet(host, heard)
    }

    func read(rates name: String, _ done: @escaping ([(name: String, value: String)]?) -> Void) -> Bool {
        let name = settings.keyNames.ratesName(name)
        return shards[shard(of: name)].link.read(name, done)
    }

    func reset(_ call: RemoteCall) { shards[shard(of: call.name)].link.reset(call) }

    func refund(_ refunds: [RemoteRefund]) { for refund in refunds { shards[shard(of: refund.call.name)].link.refund([refund]) } }

    func linkChanged(_ link: RedisLink) {
        for index in shards.indices where shards[index].link === link {
            if link.isAvailable {
                shards[index].awaySince = nil
            } else if shards[index].awaySince == nil {
                shards[index].awaySince = loop.now
            }
        }
        metrics?.isAvailable(shards.allSatisfy(\.link.isAvailable))
    }

    func linkFailed(_ link: RedisLink) {}

    func probeName(for link: RedisLink) -> [UInt8] { settings.keyNames.probeName(0) }

    // A server that is no part of a cluster passes nothing on; one that does is not believed.
    func redirected(
        _ calls: [RemoteCall], for receiver: any RemoteDecisionReceiver, _ redirection: Redirection, sentAt: Instant, by link: RedisLink
    ) {
        receiver.decided(nil, at: loop.now)
        link.fail("it is a part of a cluster: name it with cluster")
    }

    func redirected(_ refunds: [RemoteRefund], _ redirection: Redirection, by link: RedisLink) -> Bool { false }
}
