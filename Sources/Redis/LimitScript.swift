import RateLimiting

/// The one Lua script that decides on all limits of a request, in the server and in one step.
///
/// Keys: one for each limit. Arguments: a mode, then for each limit its cost and tolerance in microseconds and whether it
/// is only looked at. The state is the theoretical arrival time in microseconds of the server's clock, so that gateways
/// need no common one. Mode `decide` charges all limits or none and answers, for each, four integers: allowed, remaining,
/// microseconds until the quota is whole, microseconds to wait. Mode `charge` counts without asking.
enum LimitScript {
    static let text = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local charging = ARGV[1] == 'charge'
        local answer, next_arrival, all_allowed = {}, {}, true
        for i = 1, #KEYS do
          local cost, tolerance = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
          local peek = ARGV[i * 3 + 1] == '1'
          local arrival = tonumber(redis.call('GET', KEYS[i]) or '0') or 0
          if arrival < now then arrival = now end
          local next = arrival + cost
          if charging then
            next_arrival[i] = math.min(next, now + tolerance)
          else
            local allowed = next - now <= tolerance
            local kept = arrival
            if allowed and not peek then
              kept = next
              next_arrival[i] = next
            end
            local remaining = math.max(0, math.floor((tolerance - (kept - now)) / cost))
            local wait = 0
            if not allowed then
              all_allowed = false
              wait = math.ceil(next - now - tolerance)
            end
            answer[#answer + 1] = allowed and 1 or 0
            answer[#answer + 1] = remaining
            answer[#answer + 1] = math.ceil(kept - now)
            answer[#answer + 1] = wait
          end
        end
        if charging or all_allowed then
          for i = 1, #KEYS do
            if next_arrival[i] then
              redis.call('SET', KEYS[i], string.format('%.3f', next_arrival[i]), 'PX', math.ceil((next_arrival[i] - now) / 1000) + 1000)
            end
          end
        end
        return answer
        """

    static func arguments(_ calls: [RemoteCall], isCharge: Bool) -> [[UInt8]] {
        var arguments = [[UInt8](String(calls.count).utf8)]
        for call in calls { arguments.append(Array("portcullis:".utf8) + call.key) }
        arguments.append([UInt8]((isCharge ? "charge" : "decide").utf8))
        for call in calls {
            arguments.append(microseconds(call.quota.cost))
            arguments.append(microseconds(call.quota.tolerance))
            arguments.append([call.isPeek && !isCharge ? 0x31 : 0x30])
        }
        return arguments
    }

    /// The decisions in a reply of mode `decide`; nil when it has another shape.
    static func decisions(_ reply: RedisReply, count: Int) -> [Quota.Decision]? {
        guard case .array(let values) = reply, values.count == count * 4 else { return nil }
        var decisions: [Quota.Decision] = []
        for index in 0..<count {
            guard case .integer(let allowed) = values[index * 4], case .integer(let remaining) = values[index * 4 + 1],
                case .integer(let reset) = values[index * 4 + 2], case .integer(let wait) = values[index * 4 + 3]
            else { return nil }
            decisions.append(
                Quota.Decision(
                    isAllowed: allowed == 1, arrival: 0, remaining: UInt64(clamping: remaining), resetAfter: nanoseconds(reset),
                    retryAfter: nanoseconds(wait)))
        }
        return decisions
    }

    private static func nanoseconds(_ microseconds: Int64) -> UInt64 {
        let (product, overflow) = UInt64(clamping: microseconds).multipliedReportingOverflow(by: 1_000)
        return overflow ? .max : product
    }

    /// With a fraction: a limit of millions a second costs less than a microsecond.
    private static func microseconds(_ nanoseconds: UInt64) -> [UInt8] {
        let fraction = String(nanoseconds % 1_000)
        return Array("\(nanoseconds / 1_000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)".utf8)
    }
}
