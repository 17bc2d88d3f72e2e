/// The one Lua script that decides on all limits of a request, in the server and in one step.
///
/// Keys: one for each limit. Arguments: a mode, then for each limit its cost and tolerance in microseconds, how many requests are asked
/// for, with a minus where all of them are granted or none, and two numbers of the mode. The value of a key: its theoretical arrival time in microseconds of the server's clock, so that
/// gateways need no common one; the cost that it was counted with; all that was ever taken back of the key; and how far ahead of now its quota lets
/// it go, in microseconds. A key whose rate has changed, or whose token has another plan, owes as many requests as before: its distance from now is converted
/// where a request is charged. One that is refused writes nothing, so that a small plan does not cut what a large one owes.
///
/// A limit that counts in windows has, in place of the cost, `f:`, `s:` or `h:` (of requests that are under way) and the window's length in milliseconds, or `c:` and the beginnings of four periods in
/// seconds around now, of which the server's clock chooses; in place of the tolerance the count. The value of its key: `w`, the window's
/// first millisecond, what was counted in it, and in the window before. It is answered with how many requests were granted, and with those two counts.
///
/// A lockout has, in place of the cost, `l:` and its times in seconds; in place of the tolerance how many failures lock a key. The value of its key: `l` and what
/// ``Lockout/State`` has. It is answered with 1, how many attempts are charged and since when; or with 0, for how long it is locked and how often it was,
/// which is -1 where attempts are under way. In mode `refund`, the first number says what became of an attempt (``Lockout/Outcome``).
///
/// Mode `many` decides for several requests one after the other: behind it stands how many they are, then for each its mode, how many of the keys are its own, and the arguments
/// of that mode. It returns a list of replies.
/// Mode `one` is mode `decide` for one request of each, of keys of which nothing is to be told: then there are no such numbers.
/// Mode `decide` charges all limits or none. Its first number is how far ahead of now the key is known to be at least: a server that has lost its
/// data learns it again. It returns the server's time; for each limit how far ahead of now the key is afterwards or, with a minus, how long to wait;
/// for each that was asked for several requests how many were granted; and, where anything ever was taken back, how much of each key.
/// Mode `reset` forgets the keys. Mode `members` notes that a host is there, in a sorted set, and returns the server's time and how many are. Mode
/// `rates` returns the fields and values of a hash, or how many fields it has where it is too large to be read. Mode `refund` takes back what is left of a charge, known by its end and by what had been taken back before it, by the rule of
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
        if ARGV[1] == 'reset' then
          for i = 1, #KEYS do redis.call('SET', KEYS[i], '0.000 1.000 0.000 0.000', 'PX', 1) end
          return {now}
        end
        if ARGV[1] == 'members' then
          redis.call('ZADD', KEYS[1], now, ARGV[2])
          redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 15000000)
          redis.call('PEXPIRE', KEYS[1], 20000)
          return {now, redis.call('ZCARD', KEYS[1])}
        end
        if ARGV[1] == 'rates' then
          local count = redis.call('HLEN', KEYS[1])
          if count > 4096 then return count end
          local fields, length = redis.call('HGETALL', KEYS[1]), 0
          for i = 1, #fields do length = length + #fields[i] end
          if length > 262144 then return count end
          return fields
        end
        local function number(text)
          local value = tonumber(text or 'none')
          if value and value >= 0 and value <= 9000000000000000 then return value end
        end
        -- As far ahead as no limit of any file lets a key go: a thousand days, and one for delays. What is said to go further is no value.
        local ahead_max = 86486400000000
        local function decide(mode, keys_before, count_of_keys, arguments_before)
          local refunding = mode == 'refund'
          local step = mode == 'one' and 2 or 5
          local answer, grants, returns, ahead, costs, refunded, mended = {now}, {}, {}, {}, {}, {}, {}
          local kept, reaches = {}, {}
          local extras, window_values, window_times, before, places = {}, {}, {}, {}, {}
          local all_allowed, has_refunds = true, false
          for i = 1, count_of_keys do
            local a = arguments_before + (i - 1) * step
            local cost, tolerance = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
            local count, first_number, second_number = 1, 0, 0
            if step == 5 then count, first_number, second_number = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5]) end
            local is_whole = count < -1
            count = math.abs(count)
            local stored = redis.pcall('GET', KEYS[keys_before + i])
            -- Not a wrong value, but a right that is missing, or a server that is not well.
            if type(stored) == 'table' and stored.err and not string.find(stored.err, 'WRONGTYPE', 1, true) then error(stored.err) end
            local far, back, raw, own, reach = 0, 0, nil, nil, nil
            local kind, spec
            if not cost then kind, spec = string.match(ARGV[a + 1], '^(%a):(.*)$') end
            if kind == 'l' then
              local window, first_lock, growth, most, forget = string.match(spec, '^(%d+):(%d+):(%d+):(%d+):(%d+)$')
              window, first_lock, growth, most, forget = number(window), number(first_lock), number(growth), number(most), number(forget)
              local second = math.floor(now / 1000000)
              local moment, locked, level, charged, failed = 0, 0, 0, 0, 0
              if type(stored) == 'string' then
                local one, two, three, four, five = string.match(stored, '^l (%d+) (%d+) (%d+) (%d+) (%d+)$')
                if number(one) and number(two) and number(three) and number(four) and number(five) then
                  moment, locked, level, charged, failed = number(one), number(two), math.min(number(three), 127), number(four), number(five)
                  if locked > 0 then locked = 1 end
                  -- Further ahead than any lock, or attempts that begin later than now: a clock was set.
                  local latest = locked == 1 and second + most or second
                  if moment > latest then moment, mended[i] = latest, true end
                elseif not string.match(stored, '^[%d.]+ [%d.]+ [%d.]+ [%d.]+$') and not string.match(stored, '^w %d+ %d+ %d+$') then
                  moment, locked, mended[i] = second + first_lock, 1, true
                end
              elseif stored then
                moment, locked, mended[i] = second + first_lock, 1, true
              end
              if locked == 1 and second >= moment then locked, charged, failed = 0, 0, 0 end
              if locked == 0 then
                if second - moment >= window then charged, failed = 0, 0 end
                if second - moment >= forget then level = 0 end
              end
              if refunding then
                local outcome = first_number
                if locked == 1 then
                  -- Tries meanwhile change nothing.
                elseif outcome == 2 then
                  charged, failed, level = math.max(0, charged - failed - 1), 0, 0
                elseif outcome == 1 then
                  if charged == failed then
                    if charged == 0 then moment = second end
                    charged = charged + 1
                  end
                  failed = failed + 1
                  if failed >= tolerance then
                    local length = first_lock
                    for _ = 1, level do if length < most then length = length * growth end end
                    moment, locked, level, charged, failed = second + math.min(length, most), 1, math.min(level + 1, 127), 0, 0
                  end
                elseif charged > failed then
                  charged = charged - 1
                end
              else
                local said = math.min(first_number, most)
                if said > 0 and (locked == 0 or moment < second + said) then
                  moment, locked, level, charged, failed = second + said, 1, math.max(level, math.min(second_number, 127)), 0, 0
                  mended[i] = true
                end
                ahead[i] = string.format('l %.0f %.0f %.0f %.0f %.0f', moment, locked, level, charged, failed)
                before[i], places[i] = charged, #extras + 1
                if locked == 1 or (charged >= tolerance and count > 0) then
                  all_allowed = false
                  answer[#answer + 1] = 0
                  before[i] = locked == 1 and moment - second or 1
                  extras[#extras + 1] = before[i]
                  extras[#extras + 1] = locked == 1 and level or -1
                else
                  if charged == 0 and count > 0 then moment = second end
                  charged = charged + count
                  answer[#answer + 1] = 1
                  extras[#extras + 1] = charged
                  extras[#extras + 1] = moment
                end
                returns[#returns + 1] = 0
              end
              window_values[i] = string.format('l %.0f %.0f %.0f %.0f %.0f', moment, locked, level, charged, failed)
              window_times[i] = (math.max(moment - second, 0) + window + (level > 0 and forget or 0) + 1) * 1000
            elseif not cost then
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
                if start and not (one and two) then current, mended[i] = tolerance, true
                elseif start == first then current, previous = one, two
                elseif start and (kind == 's' or kind == 'h') and start == earlier then previous = one
                elseif start and one and two and start > first then
                  -- The clock has gone back, or another gateway's windows begin later: that window goes on. Where it is none of those that come
                  -- next, what was counted in it counts in this one, and no longer.
                  if start <= last then first, last = start, start + last - first else mended[i] = true end
                  current, previous = one, two
                elseif start and one and two and start > earlier then
                  -- Counted in windows that begin at another moment: in this one as well.
                  current, previous = one, two
                elseif not start and not string.match(stored, '^[%d.]+ [%d.]+ [%d.]+ [%d.]+$') then current, mended[i] = tolerance, true end
              elseif stored then
                current, mended[i] = tolerance, true
              end
              if refunding then
                local charged = first_number
                if charged == first then current = math.max(0, current - count)
                elseif (kind == 's' or kind == 'h') and charged == earlier then previous = math.max(0, previous - count) end
              else
                local said, of = first_number, second_number
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
              local arrival, paid, taken, most
              if type(stored) == 'string' then arrival, paid, taken, most = string.match(stored, '^(%S+) (%S+) (%S+) (%S+)$') end
              local was_window = type(stored) == 'string' and string.match(stored, '^w %d+ %d+ %d+$')
              arrival, paid, taken, most = number(arrival), number(paid), number(taken), number(most)
              if arrival and paid and taken and most and paid >= 0.001 and most <= ahead_max then
                far, back = math.max(0, arrival - now), taken
                -- Further ahead than any request takes it: a clock was set, and the key would be refused until then.
                if far > most + 1 then far, mended[i] = most, true end
                -- Before it is too large to be counted on. Who is refunded now gets nothing back once.
                if back > 4000000000000000 then back = 0 end
                raw, own, reach = far, paid, most
                if math.abs(paid - cost) > 0.0005 then far = math.min(far * cost / paid, ahead_max) end
              elseif not was_window then
                far, mended[i] = tolerance, true
              end
            end
            if not cost then
              -- Counted above.
            elseif refunding then
              local finish = first_number - (back - second_number)
              local left = math.max(0, math.min(finish - math.max(finish - cost * count, now), far))
              -- Less has been refunded than when it was charged: it is another key by now. One microsecond was rounded up.
              if back + 1 < second_number then left = 0 end
              -- What was counted at another rate meanwhile stays counted at that.
              if raw and math.abs(own - cost) > 0.0005 then raw, kept[i] = math.max(0, raw - left * own / cost), true end
              far, back = far - left, back + (kept[i] and left * own / cost or left)
            else
              local floor = math.min(first_number, tolerance)
              -- Kept also where the request is refused: nobody says it a second time.
              if floor > far + 1 then far, mended[i] = floor, true end
              before[i] = far
              local granted = math.min(count, math.max(0, math.floor((tolerance + 1 - far) / cost)))
              if is_whole and granted < count then granted = 0 end
              local is_over = far > tolerance + 1
              if granted > 0 or count == 0 then
                far = far + cost * granted
                answer[#answer + 1] = math.ceil(math.min(far, math.max(tolerance, cost)))
              else
                all_allowed = false
                local wanted = is_whole and cost * count or cost
                local wait = far + wanted - tolerance
                -- Another plan has used more than this one has: what is owed wears off as it was counted.
                if is_over and raw then wait = raw - (tolerance - wanted) * own / cost end
                answer[#answer + 1] = -math.max(1, math.ceil(wait))
              end
              -- Who could not pay leaves what others owe as it is.
              if is_over and raw then kept[i] = true end
              if count > 1 then grants[#grants + 1] = granted end
              if back > 0 then has_refunds = true end
              returns[#returns + 1] = math.ceil(back)
            end
            if kept[i] then
              ahead[i], costs[i], refunded[i], reaches[i] = raw, own, back, reach
            elseif cost then
              ahead[i], costs[i], refunded[i], reaches[i] = far, cost, back, math.max(tolerance, far)
            end
          end
          if not all_allowed then
            -- Nobody is charged: what was answered for those that would allow it is taken back.
            for i = 1, count_of_keys do
              if places[i] then
                extras[places[i]], window_values[i] = before[i], ahead[i]
              elseif answer[i + 1] >= 0 and not kept[i] then
                answer[i + 1], ahead[i] = math.ceil(before[i]), before[i]
              end
            end
          end
          for i = 1, count_of_keys do
            if (refunding or all_allowed or mended[i]) and window_values[i] then
              redis.call('SET', KEYS[keys_before + i], window_values[i], 'PX', window_times[i])
            elseif refunding or all_allowed or mended[i] then
              redis.call('SET', KEYS[keys_before + i], string.format('%.3f %.3f %.3f %.3f', now + ahead[i], costs[i], refunded[i], reaches[i]), 'PX',
                math.ceil(ahead[i] / 1000) + 1000)
            end
          end
          for i = 1, #extras do answer[#answer + 1] = extras[i] end
          for i = 1, #grants do answer[#answer + 1] = grants[i] end
          if has_refunds then for i = 1, #returns do answer[#answer + 1] = returns[i] end end
          return answer
        end
        -- The usual question, of one key that was counted at this rate before, or never: without the lists that the others need. Nil for all others.
        local function decide_plain(key, cost, tolerance)
          local stored = redis.pcall('GET', key)
          local far, back = 0, 0
          if stored then
            if not cost or type(stored) ~= 'string' then return nil end
            local arrival, paid, taken, most = string.match(stored, '^(%S+) (%S+) (%S+) (%S+)$')
            arrival, paid, taken, most = number(arrival), number(paid), number(taken), number(most)
            if not (arrival and paid and taken and most) or paid < 0.001 or most > ahead_max or math.abs(paid - cost) > 0.0005 or taken > 4000000000000000 then return nil end
            far, back = math.max(0, arrival - now), taken
            if far > most + 1 or far > tolerance + 1 then return nil end
          elseif not cost then
            return nil
          end
          local answer
          if tolerance + 1 - far >= cost then
            far = far + cost
            redis.call('SET', key, string.format('%.3f %.3f %.3f %.3f', now + far, cost, back, math.max(tolerance, far)), 'PX',
              math.ceil(far / 1000) + 1000)
            answer = {now, math.ceil(math.min(far, math.max(tolerance, cost)))}
          else
            answer = {now, -math.max(1, math.ceil(far + cost - tolerance))}
          end
          if back > 0 then answer[3] = math.ceil(back) end
          return answer
        end
        local function decide_one(mode, keys_before, count_of_keys, arguments_before)
          local answer
          if mode == 'one' and count_of_keys == 1 then
            answer = decide_plain(KEYS[keys_before + 1], tonumber(ARGV[arguments_before + 1]), tonumber(ARGV[arguments_before + 2]))
          end
          return answer or decide(mode, keys_before, count_of_keys, arguments_before)
        end
        if ARGV[1] ~= 'many' then return decide_one(ARGV[1], 0, #KEYS, 1) end
        local answers, key, place = {}, 0, 2
        for i = 1, tonumber(ARGV[2]) do
          local mode, count_of_keys = ARGV[place + 1], tonumber(ARGV[place + 2])
          answers[i] = decide_one(mode, key, count_of_keys, place + 2)
          key = key + count_of_keys
          place = place + 2 + count_of_keys * (mode == 'one' and 2 or 5)
        end
        return answers
        """
}
