package import Observability
package import RateLimiting
package import System

/// What a `redis` of the file is: one server or several, asked by one worker.
package protocol RedisStore: RemoteStore {
    /// Whether it is known of it if it can be reached.
    var hasSettled: Bool { get }
    /// Set by the worker once it is made.
    var observer: (any RedisStoreObserver)? { get set }
    /// Where a name of the file leads; told by the control process.
    func resolve(_ host: String, to addresses: [IPAddress])
    /// The servers' password is another one.
    func passwordChanged()
}

/// Learns whether servers can be reached.
package protocol RedisStoreObserver: AnyObject {
    /// One has become reachable or unreachable.
    func storeChanged(_ title: String, isAvailable: Bool, _ reason: String)
    /// Something that an operator has to know, and that changes nothing.
    func storeSaid(_ title: String, _ text: String)
    /// The first attempt to reach one has ended, well or not.
    func storeSettled()
}

extension RedisSettings {
    /// What asks the servers that the file names.
    package func makeStore(on loop: EventLoop, metrics: Metrics? = nil) -> any RedisStore {
        let metrics = metrics.map { StoreMetrics(name, $0) }
        return switch topology {
        case .server(let address): SingleStore(self, at: address, on: loop, metrics)
        case .sentinel(let sentinels): SingleStore(self, behind: sentinels, on: loop, metrics)
        case .shards(let addresses): ShardedStore(self, addresses, on: loop, metrics)
        case .cluster(let seeds): ClusterStore(self, seeds, on: loop, metrics)
        }
    }
}
