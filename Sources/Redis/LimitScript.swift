import System
import Time
import Bytes
import RateLimiting

/// The one Lua script that decides on all limits of a request, in the server and in one step.
///
/// Keys: one for each limit. Arguments: a mode, then for each limit its cost and tolerance in microseconds, how many requests are asked
/// for, with a minus where all of them are granted or none, and two numbers of the mode. The value of a key: its theoretical arrival time in microseconds of the server's clock, so that
/// gateways need no common one; the cost that it was counted with; and all that was ever taken back of the key. A key whose rate has
/// changed owes as many requests as before: its distance from now is converted.
///
/// A limit that counts in windows has, in place of the cost, `f:`, `s:` or `h:` (of requests that are under way) and the window's length in milliseconds, or `c:` and the beginnings of four periods in
/// seconds around now, of which the server's clock chooses; in place of the tolerance the count. The value of its key: `w`, the window's
/// first millisecond, what was counted in it, and in the window before. It is answered with how many requests were granted, and with those two counts.
///
/// Mode `decide` charges all limits or none. Its first number is how far ahead of now the key is known to be at least: a server that has lost its
/// data learns it again. It returns the server's time; for each limit how far ahead of now the key is afterwards or, with a minus, how long to wait;
/// for each that was asked for several requests how many were granted; and, where anything ever was taken back, how much of each key.
/// Mode `refund` takes back what is left of a charge, known by its end and by what had been taken back before it, by the rule of
/// ``GCRA/refundable(_:arrival:refunded:now:)``.
///
/// A value that is none (another type, no finite numbers) counts as a quota that is used up, and is written again as that: no other key suffers for it.
///
/// Lua counts in doubles, which at the present time are exact to a quarter of a microsecond: what is compared is the distance
/// from now, with a microsecond of slack, so that a rounding never refuses what the quota allows.
enum LimitScript {
    static let text = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local refunding = ARGV[1] == 'refund'
        local function number(text)
          local value = tonumber(text or 'none')
          if value and value >= 0 and value <= 9000000000000000 then return value end
        end
        local answer, grants, returns, ahead, costs, refunded, mended = {now}, {}, {}, {}, {}, {}, {}
        local extras, window_values, window_times, before, places = {}, {}, {}, {}, {}
        local all_allowed, has_refunds = true, false
        for i = 1, #KEYS do
          local a = (i - 1) * 5 + 1
          local cost, tolerance, count = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
          local is_whole = count < -1
          count = math.abs(count)
          local stored = redis.pcall('GET', KEYS[i])
          local far, back = 0, 0
          if not cost then
            local kind, spec = string.match(ARGV[a + 1], '^(%a):(.*)$')
            local moment, first, last, earlier = math.floor(now / 1000), nil, nil, nil
            if kind == 'c' then
              for start in string.gmatch(spec, '%d+') do
                start = start * 1000
                if not first or start <= moment then earlier, first, last = first, start, nil elseif not last then last = start end
              end
              last = last or first + 86400000
              earlier = earlier or first
            else
              local length = tonumber(spec)
              first = moment - moment % length
              last, earlier = first + length, first - length
            end
            local current, previous = 0, 0
            if type(stored) == 'string' then
              local start, one, two = string.match(stored, '^w (%d+) (%d+) (%d+)$')
              start, one, two = number(start), number(one), number(two)
              if start == first then current, previous = one, two
              elseif start and (kind == 's' or kind == 'h') and start == earlier then previous = one
              elseif start and one and two and start > first then
                -- The clock has gone back, or another gateway's windows begin later: that window goes on.
                if start <= last then first, last = start, start + last - first end
                current, previous = one, two
              elseif start and one and two and start > earlier then
                -- Counted in windows that begin at another moment: in this one as well.
                current, previous = one, two
              elseif not start and not string.match(stored, '^[%d.]+ [%d.]+ [%d.]+$') then current, mended[i] = tolerance, true end
            elseif stored then
              current, mended[i] = tolerance, true
            end
            if refunding then
              local charged = tonumber(ARGV[a + 4])
              if charged == first then current = math.max(0, current - count)
              elseif (kind == 's' or kind == 'h') and charged == earlier then previous = math.max(0, previous - count) end
            else
              local said, of = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
              if kind == 'h' then
                -- Requests that are still under way are counted here from now on.
                if said > 0 and of ~= first then
                  if of == earlier then previous = math.max(0, previous - said) end
                  current, mended[i] = current + said, true
                end
              elseif of == first and said > current then current, mended[i] = said, true end
              before[i], places[i] = current, #extras + 1
              local part = 0
              if kind == 's' then part = previous * (last - moment) / (last - first) elseif kind == 'h' then part = previous end
              local granted = math.min(count, math.max(0, math.floor(tolerance - current - part)))
              if is_whole and granted < count then granted = 0 end
              if granted > 0 or count == 0 then current = current + granted else all_allowed = false end
              answer[#answer + 1] = granted
              extras[#extras + 1] = current
              extras[#extras + 1] = previous
              if count > 1 then grants[#grants + 1] = granted end
              returns[#returns + 1] = 0
            end
            local left = last - moment + 1000
            if kind == 's' or kind == 'h' then left = left + last - first elseif kind == 'c' then left = left + 86400000 end
            window_values[i], window_times[i] = string.format('w %.0f %.0f %.0f', first, current, previous), left
            ahead[i] = string.format('w %.0f %.0f %.0f', first, before[i] or current, previous)
          elseif stored then
            local arrival, paid, taken
            if type(stored) == 'string' then arrival, paid, taken = string.match(stored, '^(%S+) (%S+) (%S+)$') end
            local was_window = type(stored) == 'string' and string.match(stored, '^w %d+ %d+ %d+$')
            arrival, paid, taken = number(arrival), number(paid), number(taken)
            if arrival and paid and taken and paid > 0 then
              far, back = math.max(0, arrival - now), taken
              -- Before it is too large to be counted on. Who is refunded now gets nothing back once.
              if back > 4000000000000000 then back = 0 end
              if math.abs(paid - cost) > 0.0005 then far = far * cost / paid end
              -- Further ahead than any request takes it: a clock was set, and the key would be refused until then.
              if far > tolerance + 1 then far, mended[i] = tolerance, true end
              far = math.min(far, tolerance)
            elseif not was_window then
              far, mended[i] = tolerance, true
            end
          end
          if not cost then
            -- Counted above.
          elseif refunding then
            local finish = tonumber(ARGV[a + 4]) - (back - tonumber(ARGV[a + 5]))
            local left = math.max(0, math.min(finish - math.max(finish - cost * count, now), far))
            -- Less has been refunded than when it was charged: it is another key by now. One microsecond was rounded up.
            if back + 1 < tonumber(ARGV[a + 5]) then left = 0 end
            far, back = far - left, back + left
          else
            local floor = math.min(tonumber(ARGV[a + 4]), tolerance)
            -- Kept also where the request is refused: nobody says it a second time.
            if floor > far + 1 then far, mended[i] = floor, true end
            before[i] = far
            local granted = math.min(count, math.max(0, math.floor((tolerance + 1 - far) / cost)))
            if is_whole and granted < count then granted = 0 end
            if granted > 0 or count == 0 then
              far = far + cost * granted
              answer[#answer + 1] = math.ceil(far)
            else
              all_allowed = false
              local wanted = is_whole and cost * count or cost
              answer[#answer + 1] = -math.max(1, math.ceil(far + wanted - tolerance))
            end
            if count > 1 then grants[#grants + 1] = granted end
            if back > 0 then has_refunds = true end
            returns[#returns + 1] = math.ceil(back)
          end
          if cost then ahead[i], costs[i], refunded[i] = far, cost, back end
        end
        if not all_allowed then
          -- Nobody is charged: what was answered for those that would allow it is taken back.
          for i = 1, #KEYS do
            if places[i] then
              extras[places[i]], window_values[i] = before[i], ahead[i]
            elseif answer[i + 1] >= 0 then
              answer[i + 1], ahead[i] = math.ceil(before[i]), before[i]
            end
          end
        end
        for i = 1, #KEYS do
          if (refunding or all_allowed or mended[i]) and window_values[i] then
            redis.call('SET', KEYS[i], window_values[i], 'PX', window_times[i])
          elseif refunding or all_allowed or mended[i] then
            redis.call('SET', KEYS[i], string.format('%.3f %.3f %.3f', now + ahead[i], costs[i], refunded[i]), 'PX',
              math.ceil(ahead[i] / 1000) + 1000)
          end
        end
        for i = 1, #extras do answer[#answer + 1] = extras[i] end
        for i = 1, #grants do answer[#answer + 1] = grants[i] end
        if has_refunds then for i = 1, #returns do answer[#answer + 1] = returns[i] end end
        return answer
        """

    static func arguments(_ calls: [RemoteCall]) -> [[UInt8]] {
        arguments("decide", calls.map { ($0, $0.floor, $0.floorStart) })
    }

    static func arguments(_ refunds: [RemoteRefund]) -> [[UInt8]] {
        arguments("refund", refunds.map { ($0.call, $0.charge.end, $0.charge.refundedBefore) })
    }

    private static func arguments(_ mode: String, _ parts: [(call: RemoteCall, UInt64, UInt64)]) -> [[UInt8]] {
        var arguments = [decimal(UInt64(parts.count))]
        arguments.reserveCapacity(2 + parts.count * 6)
        for (call, _, _) in parts { arguments.append(call.name) }
        arguments.append([UInt8](mode.utf8))
        for (call, first, second) in parts {
            if let windows = call.quota.windows {
                arguments += [specification(windows), decimal(windows.count), count(call), decimal(first), decimal(second)]
                continue
            }
            arguments.append(microseconds(call.quota.gcra.cost))
            arguments.append(microseconds(call.quota.gcra.tolerance))
            arguments.append(count(call))
            arguments.append(microseconds(first))
            arguments.append(microseconds(second))
        }
        return arguments
    }

    private static func count(_ call: RemoteCall) -> [UInt8] {
        call.count > 1 && !call.isDivisible ? [0x2D] + decimal(call.count) : decimal(call.count)
    }

    private static func specification(_ windows: Windows) -> [UInt8] {
        switch windows.kind {
        case .fixed: return Array("f:\(windows.length)".utf8)
        case .sliding: return Array("s:\(windows.length)".utf8)
        case .concurrent: return Array("h:\(windows.length)".utf8)
        case .calendar(let periods):
            // Two to each side, so that a clock that differs by less than a period does not matter.
            let number = periods.number(at: Int64(clamping: Clock.wallSeconds()))
            return Array(("c:" + (-1...2).map { String(periods.start(number + $0)) }.joined(separator: ":")).utf8)
        }
    }

    /// The decisions in a reply of mode `decide`; nil when it has another shape.
    static func decisions(_ reply: RedisReply, of calls: [RemoteCall]) -> [GCRA.Decision]? {
        guard case .array(let values) = reply else { return nil }
        let integers = values.compactMap { if case .integer(let value) = $0 { value } else { nil } }
        let grants = calls.count { $0.count > 1 }
        let extras = calls.count { $0.quota.windows != nil } * 2
        let isShort = integers.count == 1 + calls.count + extras + grants
        guard integers.count == values.count, isShort || integers.count == 1 + calls.count * 2 + extras + grants,
            0...momentMax ~= integers[0]
        else {
            return nil
        }
        var nextExtra = 1 + calls.count
        var nextGrant = nextExtra + extras
        let firstRefunded = nextGrant + grants
        var decisions: [GCRA.Decision] = []
        for (index, call) in calls.enumerated() {
            let value = integers[1 + index]
            var granted = value < 0 ? 0 : Int64(clamping: min(call.count, 1))
            if call.count > 1 {
                granted = integers[nextGrant]
                nextGrant += 1
            }
            if let windows = call.quota.windows {
                let counts = (integers[nextExtra], integers[nextExtra + 1])
                nextExtra += 2
                guard 0...Int64(clamping: call.count) ~= value, counts.0 >= 0, counts.1 >= 0, granted == value || call.count <= 1 else {
                    return nil
                }
                decisions.append(decision(windows, counts, granted: UInt64(value), of: call, at: UInt64(integers[0]) / 1_000))
                continue
            }
            let refunded = isShort ? 0 : integers[firstRefunded + index]
            guard -microsecondsMax...microsecondsMax ~= value, 0...Int64(clamping: call.count) ~= granted, 0...momentMax ~= refunded,
                (granted > 0 || call.count == 0) == (value >= 0)
            else { return nil }
            let units = call.isDivisible ? 1 : max(1, call.count)
            decisions.append(decision(value, UInt64(granted), UInt64(refunded), units, at: UInt64(integers[0]), of: call.quota.gcra))
        }
        return decisions
    }

    /// - Parameter now: milliseconds of the server's clock.
    private static func decision(
        _ windows: Windows, _ counts: (current: Int64, previous: Int64), granted: UInt64, of call: RemoteCall, at now: UInt64
    ) -> GCRA.Decision {
        let counts = Windows.Counts(
            start: windows.window(at: now).start, current: min(UInt64(counts.current), windows.countMax),
            previous: min(UInt64(counts.previous), windows.countMax))
        return windows.decision(
            counts, at: now, granted: granted, isAllowed: granted > 0 || call.count == 0, units: call.isDivisible ? 1 : max(1, call.count))
    }

    /// - Parameters:
    ///   - value: microseconds ahead of now; with a minus, to wait.
    ///   - units: how many requests it would have to wait for.
    private static func decision(
        _ value: Int64, _ granted: UInt64, _ refunded: UInt64, _ units: UInt64, at now: UInt64, of gcra: GCRA
    ) -> GCRA.Decision {
        let amount = value.magnitude * 1_000
        let rest = gcra.tolerance - min(gcra.cost(of: units), gcra.tolerance)
        // Of a request that has to wait so long: how far the key must be for that.
        let ahead = value < 0 ? amount.addingReportingOverflow(rest).partialValue : amount
        // A wait was rounded up, and what the server has kept is exact to a fraction of a microsecond.
        let slack = gcra.tolerance.addingReportingOverflow(value < 0 ? 2_000 : 1_000).partialValue
        var decision = GCRA.Decision(
            isAllowed: granted > 0, granted: granted, arrival: (now &+ (value < 0 ? 0 : value.magnitude)) * 1_000,
            remaining: ahead >= slack ? 0 : min(value < 0 ? units - 1 : .max, (slack - ahead) / gcra.cost), resetAfter: Nanoseconds(ahead),
            retryAfter: Nanoseconds(value < 0 ? amount : 0))
        decision.refundedBefore = refunded * 1_000
        return decision
    }

    private static func decimal(_ value: UInt64) -> [UInt8] {
        var text: [UInt8] = []
        text.append(decimal: value)
        return text
    }

    /// With a fraction: a limit of millions a second costs less than a microsecond.
    private static func microseconds(_ nanoseconds: UInt64) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(24)
        text.append(decimal: nanoseconds / 1_000)
        text.append(0x2E)
        for place: UInt64 in [100, 10, 1] { text.append(0x30 + UInt8(truncatingIfNeeded: nanoseconds / place % 10)) }
        return text
    }
}

/// A thousand days; no limit has a longer window, so a larger number is not the script's.
private let microsecondsMax: Int64 = 1_000 * 86_400 * 1_000_000
/// In the year 2255; microseconds that are nanoseconds without an overflow.
private let momentMax: Int64 = 9_000_000_000_000_000
