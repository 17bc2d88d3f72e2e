import Compression
import Forwarding
import Time
import Bytes
import Configuration
import HTTPMessage
import RateLimiting
import Routing

/// The fields that the gateway adds to every response, its own and the upstreams': who asked for it is to be found in the log by
/// the first, how much of each limit is left by the next (draft-ietf-httpapi-ratelimit-headers), and which pages may read it by the
/// last, on routes with ``CORSRule``.
final class AddedFields {
    private let requestID = FieldStart("X-Request-Id", isFleeting: true)
    private let vary = FieldStart("Vary", "Accept-Encoding")
    private let contentEncoding = FieldStart("Content-Encoding")
    private let entityTag = FieldStart("ETag")
    /// By limit, and behind it by plan: RateLimit-Policy; by limit, where its own begin, and the beginning of RateLimit.
    private let policies: [FieldStart]
    private let firstPolicies: [Int]
    private let states: [FieldStart]
    private let names: [String]
    /// Of plans that do not stand in the file, by limit and number.
    private var readPolicies: [Int: FieldStart] = [:]
    private let areConcurrent: [Bool]
    /// By limit, how many bytes of a response count as one, where they do: the fields say bytes then.
    private let bytes: [UInt64?]
    private let headers: [LimitHeaders]
    /// Whether any limit is told otherwise than as drafted.
    private let isMixed: Bool
    private let legacy = ["Limit", "Remaining", "Reset"].map { FieldStart("X-RateLimit-\($0)", isFleeting: true) }
    /// By limit and plan.
    private let counts: [[UInt64]]

    init(_ limits: [Limit]) {
        var firstPolicies: [Int] = []
        var count = 0
        for limit in limits {
            firstPolicies.append(count)
            count += limit.plans?.all.count ?? 1
        }
        self.firstPolicies = firstPolicies
        policies = limits.flatMap { limit in
            (limit.plans?.all.map(\.quota) ?? [limit.quota]).map { Self.policy($0, limit.name, bytes: limit.cost?.bytes) }
        }
        names = limits.map(\.name)
        headers = limits.map(\.headers)
        isMixed = headers.contains { $0 != .draft }
        counts = limits.map { limit in (limit.plans?.all.map(\.quota) ?? [limit.quota]).map { $0.windows?.count ?? $0.count } }
        bytes = limits.map { $0.cost?.bytes }
        areConcurrent = limits.map { $0.quota.windows?.isOfRequestsUnderWay == true }
        states = limits.map { FieldStart("RateLimit", "\"\($0.name)\";r=", isFleeting: true) }
    }

    func append<Output: FieldOutput & ~Copyable>(_ passage: Passage, to output: inout Output) {
        output.begin(requestID)
        let identifier = passage.context.requestID
        output.append(identifier.span)
        output.end()
        let given = passage.authorizerLines
        if !given.isEmpty { output.append(lines: given) }
        // Those of a response of the gateway's own stand in it already.
        if let own = passage.responseFields, passage.state == .forwarding {
            own.append(passage.identity, passage.context, present: passage.presentFields, to: &output)
        }
        if let binding = passage.exchange.binding { output.append(lines: binding) }
        if passage.ownsCORS, let cors = passage.route?.cors { cors.append(for: passage.context.head, to: &output) }
        if passage.compression != nil { appendCoding(passage, to: &output) }
        var asked = passage.progress.states
        guard !asked.isEmpty else { return }
        if isMixed {
            appendLegacy(asked.filter { headers[$0.limit.index] == .legacy }, passage.path, to: &output)
            asked.removeAll { headers[$0.limit.index] != .draft }
            guard !asked.isEmpty else { return }
        }
        for index in asked.indices {
            Self.begin(policy(asked[index], passage.path), isFirst: index == 0, &output)
        }
        output.end()
        for index in asked.indices {
            let state = asked[index]
            Self.begin(states[state.limit.index], isFirst: index == 0, &output)
            output.append(decimal: bytes[state.limit.index].map { Self.times(state.remaining, $0) } ?? state.remaining)
            // When one ends nobody knows.
            if areConcurrent[state.limit.index] { continue }
            output.append(";t=")
            output.append(decimal: state.nextAfter.secondsUp)
        }
        output.end()
    }

    /// Of a plan that does not stand in the file it is made when it is needed first.
    private func policy(_ state: LimitState, _ path: RequestPath) -> FieldStart {
        let limit = state.limit.index
        if state.plan < counts[limit].count { return policies[firstPolicies[limit] + state.plan] }
        let place = limit << 32 | state.plan
        if let made = readPolicies[place] { return made }
        let made = Self.policy(path.quota(ofPlan: state.plan, state.limit), names[limit], bytes: bytes[limit])
        readPolicies[place] = made
        return made
    }

    private static func times(_ count: UInt64, _ each: UInt64) -> UInt64 {
        let (product, overflow) = count.multipliedReportingOverflow(by: each)
        return overflow ? integerMax : min(product, integerMax)
    }

    /// - Parameter bytes: how many count as one; nil where requests are counted.
    private static func policy(_ quota: Quota, _ name: String, bytes: UInt64?) -> FieldStart {
        if quota.windows?.isOfRequestsUnderWay == true {
            return FieldStart("RateLimit-Policy", "\"\(name)\";q=\(quota.count);qu=\"concurrent-requests\"")
        }
        // A month has no length of its own.
        let count = "\"\(name)\";q=\(times(quota.count, bytes ?? 1))" + (bytes == nil ? "" : ";qu=\"content-bytes\"")
        if case .calendar? = quota.windows?.kind { return FieldStart("RateLimit-Policy", count) }
        return FieldStart("RateLimit-Policy", count + ";w=\(max(1, quota.window.seconds))")
    }

    /// Of several the one of which least is left: these fields have room for one.
    private func appendLegacy<Output: FieldOutput & ~Copyable>(
        _ states: [LimitState], _ path: RequestPath, to output: inout Output
    ) {
        guard let state = states.min(by: { $0.remaining < $1.remaining }) else { return }
        let own = counts[state.limit.index]
        let count = state.plan < own.count ? own[state.plan] : path.quota(ofPlan: state.plan, state.limit).count
        let values = [count, state.remaining, max(1, state.nextAfter.secondsUp)]
        for (field, value) in zip(legacy, values) {
            output.begin(field)
            output.append(decimal: value)
            output.end()
        }
    }

    private func appendCoding<Output: FieldOutput & ~Copyable>(_ passage: Passage, to output: inout Output) {
        if passage.variesByCoding {
            output.begin(vary)
            output.end()
        }
        guard let encoding = passage.encoding else { return }
        output.begin(contentEncoding)
        output.append(encoding.encoder.coding.rawValue)
        output.end()
        guard !encoding.entityTag.isEmpty else { return }
        output.begin(entityTag)
        let tag = encoding.entityTag
        output.append(tag.span)
        output.end()
    }

    /// Begins a field, or the next element of its list.
    private static func begin<Output: FieldOutput & ~Copyable>(_ field: FieldStart, isFirst: Bool, _ output: inout Output) {
        guard !isFirst else { return output.begin(field) }
        output.append(", ")
        let value = field.value
        output.append(value.span)
    }
}

/// The largest integer of a structured field (RFC 9651 §3.3.1).
private let integerMax: UInt64 = 999_999_999_999_999
