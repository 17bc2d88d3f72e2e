import Time
import Routing
import System

/// Requests that wait for what is fetched from outside: each with a deadline, all of them bounded, and of one client only so many that it
/// does not take every slot.
///
/// A passage may serve another request by the time that something is settled; its generation tells.
///
/// The stores of limits keep their own pending decisions (``RedisLink``), which leave in batches with a deadline of the batch.
final class Waits {
    private struct Entry {
        let passage: Passage
        let generation: UInt64
        let dependency: Dependency
        let clientIP: [UInt8]
        let deadline: Instant

        var isCurrent: Bool { passage.generation == generation && passage.state == .waiting(dependency) }
    }

    private var entries: [Entry] = []
    private let capacity: Int
    private let capacityOfClient: Int

    init(capacity: Int = 1_024, ofClient capacityOfClient: Int = 64) {
        self.capacity = capacity
        self.capacityOfClient = capacityOfClient
    }

    func hasAny(for dependency: Dependency) -> Bool { entries.contains { $0.dependency == dependency } }

    /// Has a request wait; false when there is no room for it.
    func add(_ passage: Passage, for dependency: Dependency, until deadline: Instant) -> Bool {
        let client = passage.context.clientIP
        if !hasRoom(for: client) {
            entries.removeAll { !$0.isCurrent }
            guard hasRoom(for: client) else { return false }
        }
        passage.state = .waiting(dependency)
        entries.append(
            Entry(passage: passage, generation: passage.generation, dependency: dependency, clientIP: client, deadline: deadline))
        return true
    }

    /// Those who wait for it, and wait no longer.
    func settle(_ dependency: Dependency, where condition: (Passage) -> Bool = { _ in true }) -> [Passage] {
        remove { $0.dependency == dependency && condition($0.passage) }
    }

    /// Those whose deadline is over, and who wait no longer.
    func overdue(at now: Instant) -> [Passage] { remove { $0.deadline < now } }

    private func hasRoom(for client: [UInt8]) -> Bool {
        entries.count < capacity && entries.count(where: { $0.clientIP == client }) < capacityOfClient
    }

    private func remove(where condition: (Entry) -> Bool) -> [Passage] {
        guard entries.contains(where: condition) else { return [] }
        let removed = entries.filter(condition)
        entries.removeAll(where: condition)
        return removed.compactMap { $0.isCurrent ? $0.passage : nil }
    }
}
