import Configuration
import Observability
import Processes
import RateLimiting
import System
import TLS
import Time
import UpstreamHealth

/// What is measured at the moment of a scrape, by the process that answers it.
struct GatewayGauges {
    let upstreams: [GatewayNames.Upstream]
    let names: GatewayNames
    let state: GatewayState
    let memory: HostMemory
    let keySets: KeySets
    let now: Instant

    func add(to sum: inout MetricSum) {
        sum.set(.buildInfo, [state.version, TLSLibrary.version], 1)
        sum.set(.configReloadSuccessful, [], state.isLastReloadGood ? 1 : 0)
        sum.set(.configReloadSuccessTime, [], state.loadedAt)
        for result in ["success", "failure"] { sum.add(.configReloads, [result], 0) }
        for reason in ["crash", "hang"] { sum.add(.workerRestarts, [reason], 0) }
        sum.set(.workers, ["ready"], UInt64(state.workers.count { $0.isReady && !$0.isDraining }))
        sum.set(.workers, ["starting"], UInt64(state.workers.count { !$0.isReady && !$0.isDraining }))
        sum.set(.workers, ["draining"], UInt64(state.workers.count(where: \.isDraining)))
        sum.set(.limitTableEntries, [], memory.limitTable.entries)
        sum.set(.limitTableEvictions, [], memory.limitTable.evictions)
        for redis in names.redis {
            sum.set(.storeUp, [redis], sum.value(.storeUp, [redis]) > 0 ? 1 : 0)
            let members = memory.limits.members.count(of: redis)
            if members > 0 { sum.set(.storeMembers, [redis], members) }
        }
        for upstream in upstreams {
            if upstream.hasBreaker {
                let breaker = memory.servers.breaker(of: upstream.name, at: now)?.state(at: now) ?? .up
                sum.set(.upstreamCircuitOpen, [upstream.name], breaker == .up ? 0 : 1)
            }
            for server in upstream.servers {
                let health = memory.servers.health(of: server, in: upstream.name, at: now)
                let state = health?.state(at: now, isChecked: upstream.isChecked, isEjected: upstream.isEjected) ?? .up
                sum.set(.upstreamServerUp, [upstream.name, server], state == .up || state == .probation ? 1 : 0)
                for word in ServerHealth.State.words {
                    sum.set(.upstreamServerState, [upstream.name, server, word], word == state.word ? 1 : 0)
                }
            }
        }
        for (name, keys, goodAt) in keySets.measured {
            sum.set(.keySetKeys, [name], UInt64(keys))
            if goodAt > 0 { sum.set(.keySetLastSuccess, [name], goodAt) }
        }
    }
}
