import Time
import Bytes
import RateLimiting
import TLS

/// The one Lua script that decides on all limits of a request, in the server and in one step.
///
/// Keys: one for each limit. Arguments: a mode, then for each limit its cost and tolerance in microseconds, how many requests are asked
/// for, and of a charge to take back its end and what had been taken back before it. The state is the theoretical arrival time in
/// microseconds of the server's clock, so that gateways need no common one, and all that was ever taken back of the key. Mode `decide`
/// charges all limits or none and returns, for each, six integers: how many are granted, remaining, microseconds until the quota is whole,
/// microseconds to wait, the end of the charge, what had been taken back before. Mode `refund` takes back what is left of a charge, by the
/// rule of ``GCRA/refundable(_:arrival:refunded:now:)``.
///
/// Lua counts in doubles, which at the present time are exact to a quarter of a microsecond: what is compared is the distance
/// from now, with a microsecond of slack, so that a rounding never refuses what the quota allows.
enum LimitScript {
    static let text = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local refunding = ARGV[1] == 'refund'
        local answer, next_ahead, next_refunded, all_allowed = {}, {}, {}, true
        for i = 1, #KEYS do
          local a = (i - 1) * 5 + 1
          local cost, tolerance, count = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
          local stored = redis.call('GET', KEYS[i]) or ''
          local arrival, refunded = string.match(stored, '^(%S+) ?(%S*)')
          arrival, refunded = tonumber(arrival or '0') or 0, tonumber(refunded or '0') or 0
          local ahead = math.min(math.max(0, arrival - now), tolerance)
          if refunding then
            local finish = tonumber(ARGV[a + 4]) - (refunded - tonumber(ARGV[a + 5]))
            local left = math.max(0, math.min(finish - math.max(finish - cost * count, now), ahead))
            -- Less has been refunded than when it was charged: it is another key by now. One microsecond was rounded up.
            if refunded + 1 < tonumber(ARGV[a + 5]) then left = 0 end
            next_ahead[i], next_refunded[i] = ahead - left, refunded + left
          else
            local granted = math.min(count, math.max(0, math.floor((tolerance + 1 - ahead) / cost)))
            local wait = 0
            if granted > 0 then
              ahead = ahead + cost * granted
            else
              all_allowed = false
              wait = math.ceil(ahead + cost - tolerance)
            end
            next_ahead[i], next_refunded[i] = ahead, refunded
            answer[#answer + 1] = granted
            answer[#answer + 1] = math.max(0, math.floor((tolerance - ahead + 1) / cost))
            answer[#answer + 1] = math.ceil(ahead)
            answer[#answer + 1] = wait
            answer[#answer + 1] = math.floor(now + ahead)
            answer[#answer + 1] = math.ceil(refunded)
          end
        end
        if refunding or all_allowed then
          for i = 1, #KEYS do
            redis.call('SET', KEYS[i], string.format('%.3f %.3f', now + next_ahead[i], next_refunded[i]), 'PX',
              math.ceil(next_ahead[i] / 1000) + 1000)
          end
        end
        return answer
        """

    static func arguments(_ calls: [RemoteCall]) -> [[UInt8]] {
        arguments("decide", calls.map { ($0, GCRA.Charge(end: 0, refundedBefore: 0)) })
    }

    static func arguments(_ refunds: [RemoteRefund]) -> [[UInt8]] { arguments("refund", refunds.map { ($0.call, $0.charge) }) }

    private static func arguments(_ mode: String, _ parts: [(call: RemoteCall, charge: GCRA.Charge)]) -> [[UInt8]] {
        var arguments = [decimal(UInt64(parts.count))]
        for (call, _) in parts { arguments.append(name(of: call)) }
        arguments.append([UInt8](mode.utf8))
        for (call, charge) in parts {
            arguments.append(microseconds(call.quota.gcra.cost))
            arguments.append(microseconds(call.quota.gcra.tolerance))
            arguments.append(decimal(call.count))
            arguments.append(microseconds(charge.end))
            arguments.append(microseconds(charge.refundedBefore))
        }
        return arguments
    }

    /// What a key is called in the server: a short one as it is; a long one, and one that holds a secret, by its hash.
    static func name(of call: RemoteCall) -> [UInt8] {
        let prefix = [UInt8]("portcullis:".utf8)
        guard call.isSecret || call.key.count > keyBytesMax else { return prefix + call.key }
        // The limit's name and rate stand before the first colon, so that an operator sees whose keys there are.
        let limit = call.key.prefix { $0 != 0x3A }.prefix(keyBytesMax)
        return prefix + limit + [UInt8](":#".utf8) + Base64URL.encode(Digest.sha256(call.key))
    }

    /// The decisions in a reply of mode `decide`; nil when it has another shape.
    ///
    /// - Parameter counts: how many requests were asked for, for each limit.
    static func decisions(_ reply: RedisReply, counts: [UInt64]) -> [GCRA.Decision]? {
        guard case .array(let values) = reply, values.count == counts.count * 6 else { return nil }
        var decisions: [GCRA.Decision] = []
        let range = 0...microsecondsMax
        for (index, count) in counts.enumerated() {
            let integers = values[index * 6..<index * 6 + 6].compactMap { if case .integer(let value) = $0 { value } else { nil } }
            guard integers.count == 6 else { return nil }
            let (granted, remaining, reset, wait) = (integers[0], integers[1], integers[2], integers[3])
            let (end, refunded) = (integers[4], integers[5])
            guard range.contains(reset), range.contains(wait), remaining >= 0, 0...Int64(clamping: count) ~= granted,
                0...momentMax ~= end, 0...momentMax ~= refunded
            else { return nil }
            var decision = GCRA.Decision(
                isAllowed: granted > 0, granted: UInt64(clamping: granted), arrival: UInt64(end) * 1_000,
                remaining: UInt64(clamping: remaining),
                resetAfter: Nanoseconds(UInt64(reset)) * 1_000, retryAfter: Nanoseconds(UInt64(wait)) * 1_000)
            decision.refundedBefore = UInt64(refunded) * 1_000
            decisions.append(decision)
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
/// In the year 2255; microseconds that are nanoseconds without an overflow.
private let momentMax: Int64 = 9_000_000_000_000_000
private let keyBytesMax = 128
