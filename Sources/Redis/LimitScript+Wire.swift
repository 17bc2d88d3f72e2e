import Bytes
import RateLimiting
import System
import Time

/// What is said to the script, and what it says.
extension LimitScript {
    /// By which its digest is called.
    static let command = [UInt8]("EVALSHA".utf8)
    /// As above, where the server keeps none.
    static let commandWithText = [UInt8]("EVAL".utf8)
    static let bytes = [UInt8](text.utf8)

    /// Whether a server says that it knows no `SCRIPT`.
    static func isUnkept(_ error: String) -> Bool {
        ["unknown command", "unsupported", "not supported"].contains(where: error.lowercased().contains)
    }

    static func arguments(_ works: [LimitWork]) -> [[UInt8]] {
        var arguments: [[UInt8]] = [[]]
        arguments.reserveCapacity(3 + works.count * 8)
        for work in works { appendNames(of: work, to: &arguments) }
        arguments[0] = decimal(UInt64(arguments.count - 1))
        guard works.count > 1 else {
            appendMode(of: works[0], isOneOfMany: false, to: &arguments)
            return arguments
        }
        arguments.append(manyMode)
        arguments.append(decimal(UInt64(works.count)))
        for work in works { appendMode(of: work, isOneOfMany: true, to: &arguments) }
        return arguments
    }

    static func arguments(resetting call: RemoteCall) -> [[UInt8]] { [decimal(1), call.name, Array("reset".utf8)] }

    static func arguments(meeting name: [UInt8], _ host: [UInt8]) -> [[UInt8]] { [oneText, name, Array("members".utf8), host] }

    static func arguments(ofRates name: [UInt8]) -> [[UInt8]] { [oneText, name, Array("rates".utf8)] }

    /// How many hosts there are, by a reply of mode `members`; nil when it has another shape.
    static func members(_ reply: RedisReply) -> UInt64? {
        guard case .array(let values) = reply, values.count == 2, case .integer(let count) = values[1] else { return nil }
        return UInt64(exactly: count)
    }

    private static func appendNames(of work: LimitWork, to arguments: inout [[UInt8]]) {
        switch work {
        case .decision(_, let calls): for call in calls { arguments.append(call.name) }
        case .shared(_, let call), .probe(let call): arguments.append(call.name)
        case .refund(let refunds): for refund in refunds { arguments.append(refund.call.name) }
        }
    }

    /// - Parameter isOneOfMany: whether it has to be said how many keys are its own.
    private static func appendMode(of work: LimitWork, isOneOfMany: Bool, to arguments: inout [[UInt8]]) {
        func begin(_ mode: [UInt8]) {
            arguments.append(mode)
            if isOneOfMany { arguments.append(work.checks == 1 ? oneText : decimal(UInt64(work.checks))) }
        }
        switch work {
        case .decision(_, let calls):
            let isShort = calls.allSatisfy { $0.count == 1 && $0.floor == 0 }
            begin(isShort ? oneMode : decideMode)
            append(calls.map { ($0, $0.floor, $0.floorStart) }, isShort, to: &arguments)
        case .shared(let receivers, let call):
            begin(decideMode)
            append([(call.asked(for: UInt64(receivers.count)), 0, 0)], false, to: &arguments)
        case .probe(let call):
            begin(oneMode)
            append([(call, 0, 0)], true, to: &arguments)
        case .refund(let refunds):
            begin(refundMode)
            append(refunds.map { ($0.call, $0.charge.end, $0.charge.refundedBefore) }, false, to: &arguments)
        }
    }

    /// - Parameter isShort: whether no count and no numbers are said.
    private static func append(_ parts: [(call: RemoteCall, UInt64, UInt64)], _ isShort: Bool, to arguments: inout [[UInt8]]) {
        for (call, first, second) in parts {
            if let lockout = call.quota.lockout {
                let times = [lockout.window, lockout.first, lockout.growth, lockout.most, lockout.forgetAfter]
                arguments += [Array(("l:" + times.map(String.init).joined(separator: ":")).utf8), decimal(lockout.failures)]
                if !isShort { arguments += [decimal(call.count), decimal(first), decimal(second)] }
                continue
            }
            if let windows = call.quota.windows {
                arguments += [specification(windows), decimal(windows.count)]
                if !isShort { arguments += [count(call), decimal(first), decimal(second)] }
                continue
            }
            arguments.append(microseconds(call.quota.gcra.cost))
            arguments.append(microseconds(call.quota.gcra.tolerance))
            if isShort { continue }
            arguments.append(count(call))
            arguments.append(microseconds(first))
            arguments.append(microseconds(second))
        }
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
        let grants = calls.count { $0.count > 1 && $0.quota.lockout == nil }
        let extras = calls.count { $0.quota.windows != nil || $0.quota.lockout != nil } * 2
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
            if let lockout = call.quota.lockout {
                let (first, second) = (integers[nextExtra], integers[nextExtra + 1])
                nextExtra += 2
                guard let decision = decision(lockout, value, first, second, at: integers[0] / 1_000_000) else { return nil }
                decisions.append(decision)
                continue
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

    /// - Parameter now: seconds of the server's clock.
    private static func decision(_ lockout: Lockout, _ granted: Int64, _ first: Int64, _ second: Int64, at now: Int64) -> GCRA.Decision? {
        switch granted {
        case 1:
            guard first >= 0, second >= 0 else { return nil }
            return lockout.allowed(charged: UInt64(first), since: UInt64(second), at: UInt64(now))
        case 0:
            guard 0...Int64(clamping: lockout.most) ~= first, -1...127 ~= second else { return nil }
            var decision = lockout.refused(for: UInt64(first))
            decision.level = second < 0 ? nil : UInt64(second)
            return decision
        default: return nil
        }
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
        // It was rounded up, and what the server has kept is exact to a fraction of a microsecond.
        let slack = gcra.tolerance.addingReportingOverflow(2_000).partialValue
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

/// A thousand days, and a day for delays (`ahead_max` in the script); no limit has a longer window, so a larger number is not the script's.
private let microsecondsMax: Int64 = 1_001 * 86_400 * 1_000_000
/// In the year 2255; microseconds that are nanoseconds without an overflow.
private let momentMax: Int64 = 9_000_000_000_000_000

// Made once: they stand in every call.
private let oneText = [UInt8]("1".utf8)
private let oneMode = [UInt8]("one".utf8)
private let decideMode = [UInt8]("decide".utf8)
private let manyMode = [UInt8]("many".utf8)
private let refundMode = [UInt8]("refund".utf8)
