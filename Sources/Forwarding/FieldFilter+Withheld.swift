package import Authentication
import Bytes
package import HTTPMessage

extension FieldFilter {
    /// Why an upstream does not get a field of the client's.
    package enum Reason: String, Sendable {
        case host = "the host that the request is routed by is written again"
        case framing = "it concerns this connection alone"
        case forwarded = "it tells of the request what only a trusted proxy may tell"
        case credential = "it may carry a credential that the gateway has not checked, or has"
        case cookies = "it holds nothing but cookies of the gateway's own"
        case removed = "the route removes it"
        case managed = "a route sets it, or the gateway takes tokens from it"
    }

    /// The fields of a client that do not reach an upstream as they came, by name.
    package func withheld(
        _ head: borrowing RequestHead, _ identity: Identity?, by rule: ForwardingRule
    ) -> [(name: String, reason: Reason)] {
        let sender = Sender(
            hasIdentity: identity != nil, speaks: head.toldTrace == nil ? [] : .traced,
            authorizations: head.fields.count(of: .authorization),
            authorization: rule.authorization(identity))
        var result: [(name: String, reason: Reason)] = []
        for line in head.fields.lines {
            let name = head.bytes.extracting(line.name.range)
            if rule.removes(name) {
                result.append((name.text, .removed))
                continue
            }
            let verdict = verdict(on: line, in: head.bytes, from: sender)
            if verdict == .rewrite, rule.keepsAny { continue }
            let isNamed = head.connection.namesFields && head.connection.names(name, in: head.bytes)
            if verdict == .keep, !isNamed { continue }
            result.append((name.text, isNamed && verdict == .keep ? .framing : reason(line.id, name)))
        }
        return result.filter { $0.reason != .host }
    }

    private func reason(_ id: FieldName, _ name: Span<UInt8>) -> Reason {
        switch id {
        case .cookie: .cookies
        case .host: .host
        case .authorization: .credential
        case .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedPort, .xForwardedProto, .xRequestID, .xRealIP, .xForwardedPrefix:
            .forwarded
        default: id.isHopByHop || id == .contentLength || id == .expect ? .framing : isProxys(name) ? .forwarded : .managed
        }
    }
}
