import Bytes
import RateLimiting

/// The one Lua script that decides on all limits of a request, in the server and in one step.
///
/// Keys: one for each limit. Arguments: a mode, then for each limit its cost and tolerance in microseconds and how many requests are
/// asked for. The state is the
/// theoretical arrival time in microseconds of the server's clock, so that gateways need no common one. Mode `decide` charges
/// all limits or none and answers, for each, four integers: how many are granted, remaining, microseconds until the quota is whole,
/// microseconds to wait. Mode `refund` takes a charge back.
///
/// Lua counts in doubles, which at the present time are exact to a quarter of a microsecond: what is compared is the distance
/// from now, with a microsecond of slack, so that a rounding never refuses what the quota allows.
enum LimitScript {
    static let text = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local refunding = ARGV[1] == 'refund'
        local answer, next_ahead, all_allowed = {}, {}, true
        for i = 1, #KEYS do
          local cost, tolerance, count = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
          local arrival = tonumber(redis.call('GET', KEYS[i]) or '0') or 0
          local ahead = math.max(0, arrival - now)
          if refunding then
            next_ahead[i] = math.max(0, ahead - cost * count)
          else
            local granted = math.min(count, math.max(0, math.floor((tolerance + 1 - ahead) / cost)))
            local wait = 0
            if granted > 0 then
              ahead = ahead + cost * granted
            else
              all_allowed = false
              wait = math.ceil(ahead + cost - tolerance)
            end
            next_ahead[i] = ahead
            answer[#answer + 1] = granted
            answer[#answer + 1] = math.max(0, math.floor((tolerance - ahead + 1) / cost))
            answer[#answer + 1] = math.ceil(ahead)
            answer[#answer + 1] = wait
          end
        end
        if refunding or all_allowed then
          for i = 1, #KEYS do
            redis.call('SET', KEYS[i], string.format('%.3f', now + next_ahead[i]), 'PX', math.ceil(next_ahead[i] / 1000) + 1000)
          end
        end
        return answer
        """

    static func arguments(_ calls: [RemoteCall], isRefund: Bool) -> [[UInt8]] {
        var arguments = [decimal(UInt64(calls.count))]
        for call in calls { arguments.append(Array("portcullis:".utf8) + call.key) }
        arguments.append([UInt8]((isRefund ? "refund" : "decide").utf8))
        for call in calls {
            arguments.append(microseconds(call.quota.cost))
            arguments.append(microseconds(call.quota.tolerance))
            arguments.append(decimal(call.count))
        }
        return arguments
    }

    /// The decisions in a reply of mode `decide`; nil when it has another shape.
    ///
    /// - Parameter counts: how many requests were asked for, for each limit.
    static func decisions(_ reply: RedisReply, counts: [UInt64]) -> [Quota.Decision]? {
        guard case .array(let values) = reply, values.count == counts.count * 4 else { return nil }
        var decisions: [Quota.Decision] = []
        let range = 0...microsecondsMax
        for (index, count) in counts.enumerated() {
            guard case .integer(let granted) = values[index * 4], case .integer(let remaining) = values[index * 4 + 1],
                case .integer(let reset) = values[index * 4 + 2], case .integer(let wait) = values[index * 4 + 3],
                range.contains(reset), range.contains(wait), remaining >= 0, granted >= 0,
                granted <= count
            else { return nil }
            decisions.append(
                Quota.Decision(
                    isAllowed: granted > 0, granted: UInt64(clamping: granted), arrival: 0, remaining: UInt64(clamping: remaining),
                    resetAfter: UInt64(reset) * 1_000,
                    retryAfter: UInt64(wait) * 1_000))
        }
        return decisions
    }

    private static func decimal(_ value: UInt64) -> [UInt8] {
        var text: [UInt8] = []
        text.append(decimal: value)
        return text
    }

    /// With a fraction: a limit of millions a second costs less than a microsecond.
    private static func microseconds(_ nanoseconds: UInt64) -> [UInt8] {
        var text: [UInt8] = []
        text.append(decimal: nanoseconds / 1_000)
        text.append(0x2E)
        for place: UInt64 in [100, 10, 1] { text.append(0x30 + UInt8(truncatingIfNeeded: nanoseconds / place % 10)) }
        return text
    }
}

/// A hundred days; no limit has a longer window, so a larger number is not the script's.
private let microsecondsMax: Int64 = 100 * 86_400 * 1_000_000
