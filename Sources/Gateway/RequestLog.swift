import Time
import Authentication
import Authorization
import Bytes
import Configuration
import Forwarding
import HTTPMessage
import Observability
import Policy
import RateLimiting
import Routing
import System

/// Writes the line that each request leaves, and one more in the security log for what was refused.
final class RequestLog {
    private let ring: LogRing
    private let writesAccess: Bool
    private let writesSecurity: Bool
    private let settings: Settings
    private let requirements: RequirementTable
    private let policyID: String
    private var line = JSONLine()

    init(ring: LogRing, _ settings: Settings) {
        self.ring = ring
        writesAccess = settings.accessLog != .off
        writesSecurity = settings.securityLog != .off
        self.settings = settings
        requirements = settings.requirements
        policyID = settings.policyID
    }

    /// Whether durations are wanted.
    var isOn: Bool { writesAccess }

    /// - Parameter now: of the loop's clock.
    func write(_ record: RequestRecord, limits: [Limit], wall: UInt64, at now: Instant) {
        let passage = record.passage
        if writesAccess {
            line.begin()
            writeCommon(passage, wall)
            writeAccess(record, limits)
            line.end()
            write(.access, passage.account, at: now)
        }
        if writesSecurity, case .refused(let refusal) = passage.verdict, refusal.concernsSecurity {
            line.begin()
            writeCommon(passage, wall)
            writeSecurity(passage, refusal)
            line.end()
            write(.security, passage.account, at: now)
        }
    }

    /// Where the ring fills up, what one client causes does not push out the lines of others.
    private func write(_ kind: LogKind, _ account: ClientAccount?, at now: Instant) {
        let hasRoom = account?.logs(line.bytes.count, at: now) ?? true
        if !hasRoom, ring.isHalfFull { ring.drop() } else { ring.write(line.bytes, kind) }
    }

    private func writeCommon(_ passage: Passage, _ wall: UInt64) {
        let context = passage.context
        line.member("time", time: wall)
        line.member("id", context.requestID)
        writeTrace(passage)
        line.member("client", context.clientIP)
        line.member("method", context.head.copy(context.head.methodRange))
        if !context.host.isEmpty { line.member("host", context.host) }
        line.member("path", context.head.copy(context.head.rawPathRange))
        if passage.route != nil { line.member("route", context.routeName) }
        line.member("status", number: UInt64(passage.status))
        line.member("policy", policyID)
        // What was decided by: the scopes that the route demands, and those that the token has.
        guard let principal = passage.knownIdentity?.principal, let demands = passage.match?.rule.authorization.requirements,
            !demands.isEmpty
        else { return }
        line.member("needs", texts: demands.map { requirements.requirements[$0].summary })
        line.member("held", texts: Self.bounded(requirements.scopes(of: principal)))
    }

    /// The trace that the request belongs to: as the gateway follows it, or as the client tells of it.
    private func writeTrace(_ passage: Passage) {
        guard let trace = passage.trace ?? passage.context.head.toldTrace else { return }
        var text: [UInt8] = []
        trace.appendTrace(to: &text)
        line.member("trace_id", text)
        text.removeAll(keepingCapacity: true)
        text.append(hexadecimal: trace.span, digits: 16)
        line.member("span_id", text)
    }

    /// The scopes of a token, as far as a line has room for them.
    private static func bounded(_ scopes: [String]) -> [String] {
        var room = heldBytesMax
        let shown = scopes.prefix { scope in
            room -= scope.utf8.count
            return room >= 0
        }
        return shown.count == scopes.count ? scopes : shown + ["…"]
    }

    private func writeAccess(_ record: RequestRecord, _ limits: [Limit]) {
        let passage = record.passage
        line.member("bytes_in", number: passage.bytesIn)
        line.member("bytes_out", number: passage.bytesOut)
        line.member("ms", milliseconds: record.duration)
        if passage.handshakeTime > .zero { line.member("ms_handshake", milliseconds: passage.handshakeTime) }
        var from = passage.beganAt
        if passage.authenticatedAt != .never {
            line.member("ms_auth", milliseconds: passage.authenticatedAt.since(from))
            from = passage.authenticatedAt
        }
        if passage.admittedAt != .never {
            line.member("ms_limit", milliseconds: passage.admittedAt.since(from))
            if passage.exchange.headAt != .never, passage.exchange.headAt >= passage.admittedAt {
                line.member("ms_upstream", milliseconds: passage.exchange.headAt.since(passage.admittedAt))
            }
            if passage.match?.route.forwarding != nil { line.member("upstream", passage.exchange.serverText) }
        }
        if let principal = passage.knownIdentity?.principal {
            if let subject = principal.subject { line.member("subject", subject) }
            line.member("issuer", settings.name(of: principal.credential))
        }
        line.member("decision", record.decision)
        if let reason = record.reason { line.member("reason", reason) }
        if let detail = record.detail { line.member("detail", detail) }
        let states = passage.progress.states
        if !states.isEmpty {
            line.array("limits", of: states) { line, state in
                line.member("name", limits[state.limit.index].name)
                if limits[state.limit.index].isShadow, state.retryAfter > .zero {
                    line.member("would_refuse_for", number: state.retryAfter.secondsUp)
                }
                line.member("remaining", number: state.remaining)
            }
        }
    }

    private func writeSecurity(_ passage: Passage, _ refusal: Refusal) {
        line.member("reason", refusal.reason)
        if let detail = refusal.logDetail { line.member("detail", detail) }
        if let agent = passage.context.head.field(named: "user-agent") { line.member("user_agent", agent) }
        if let principal = passage.knownIdentity?.principal {
            if let subject = principal.subject { line.member("subject", subject) }
            line.member("issuer", settings.name(of: principal.credential))
        } else if let claimed = passage.claimedSubject {
            line.member("claimed_subject", claimed)
        }
    }
}

private let heldBytesMax = 1_024
