import RateLimiting

/// What a server's script is asked to do for one request, or for several that ask the same.
enum LimitWork {
    case decision(any RemoteDecisionReceiver, calls: [RemoteCall])
    /// Several requests of one turn ask for one of the same key each: the key is asked for all of them at once. In order, so that the first ones have what there is.
    case shared([any RemoteDecisionReceiver], RemoteCall)
    case refund([RemoteRefund])
    case probe(RemoteCall)

    /// How many keys it is about.
    var checks: Int {
        switch self {
        case .decision(_, let calls): calls.count
        case .refund(let refunds): refunds.count
        case .shared, .probe: 1
        }
    }

    /// Joins what asks for one request of the same key, and cuts the rest into calls that do not keep a server for long.
    ///
    /// - Parameter isOneServer: whether the keys of one call may be any; in a cluster they are those of one slot.
    static func calls(of works: [LimitWork], isOneServer: Bool) -> [[LimitWork]] {
        if works.count == 1 { return [works] }
        var joined: [LimitWork] = []
        var places: [UInt64: Int] = [:]
        var last: (fingerprint: UInt64, place: Int) = (0, 0)
        joined.reserveCapacity(works.count)
        for work in works {
            guard case .decision(let receiver, let calls) = work, calls.count == 1, calls[0].canBeShared else {
                joined.append(work)
                continue
            }
            let fingerprint = calls[0].fingerprint
            let place = last.fingerprint == fingerprint ? last.place : places[fingerprint]
            if let place, joined[place].join(receiver, calls[0]) {
                last = (fingerprint, place)
                continue
            }
            places[fingerprint] = joined.count
            last = (fingerprint, joined.count)
            joined.append(work)
        }
        guard isOneServer else { return joined.map { [$0] } }
        var result: [[LimitWork]] = [[]]
        var checks = 0
        for work in joined {
            if checks + work.checks > checksMax, checks > 0 {
                result.append([])
                checks = 0
            }
            result[result.count - 1].append(work)
            checks += work.checks
        }
        return result
    }

    /// False where it asks another thing.
    private mutating func join(_ receiver: any RemoteDecisionReceiver, _ call: RemoteCall) -> Bool {
        switch self {
        case .decision(let first, let calls):
            guard calls[0].asksTheSame(as: call) else { return false }
            self = .shared([first, receiver], calls[0])
        case .shared(var receivers, let present):
            guard present.asksTheSame(as: call), receivers.count < sharedMax else { return false }
            // The list has one owner then, and grows in place.
            self = .refund([])
            receivers.append(receiver)
            self = .shared(receivers, present)
        case .refund, .probe: return false
        }
        return true
    }
}

extension RemoteCall {
    /// Whether it says nothing of the key but that one request asks.
    fileprivate var canBeShared: Bool { count == 1 && floor == 0 && quota.windows == nil && quota.lockout == nil }

    fileprivate func asksTheSame(as other: RemoteCall) -> Bool { quota.gcra == other.quota.gcra && name == other.name }
}

/// Of a server's one thread, 64 checks take about half a millisecond.
private let checksMax = 64
/// Requests that one question asks for at most.
private let sharedMax = 1_024
