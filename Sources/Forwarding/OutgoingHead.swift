import HTTP2
package import Authentication
package import Bytes
import ConfigFile
import HTTP1
import HTTPMessage
import Observability
package import Routing
import System

/// A request's head on its way out, whichever version of HTTP takes it. One for all requests of an exchange: what differs is
/// put into it for each.
package final class OutgoingHead {
    let context: RequestContext
    let filter: FieldFilter
    private(set) var rule: ForwardingRule
    private(set) var origin: DownstreamOrigin
    private(set) var identity: Identity?
    /// The field lines that the route sets; see ``render()``.
    private(set) var ownLines: [UInt8] = []
    /// Field lines that opening a tunnel needs besides those of the client.
    private(set) var tunnelLines: [UInt8] = []
    /// The trace that the request belongs to; nil where none is followed.
    var trace: TraceContext?
    /// Which of its spans the next server is told.
    var attempt = 0
    /// The host to name where the client named none.
    var server = ""
    let forwardedFields: ForwardedFields
    /// In place of all else, for a request that the gateway makes itself.
    private var inquiry: InquiryHead?

    package init(
        _ context: RequestContext, _ filter: FieldFilter, _ forwardedFields: ForwardedFields, _ rule: ForwardingRule,
        from origin: DownstreamOrigin
    ) {
        self.context = context
        self.filter = filter
        self.forwardedFields = forwardedFields
        self.rule = rule
        self.origin = origin
    }

    /// Makes ready for the next request, whose head stands in the context.
    package func begin(_ identity: Identity?, _ rule: ForwardingRule, from origin: DownstreamOrigin, tunnelLines: [UInt8]) {
        self.identity = identity
        self.rule = rule
        self.origin = origin
        self.tunnelLines = tunnelLines
    }

    /// Makes ready for a request of the gateway's own.
    func begin(_ inquiry: InquiryHead) { self.inquiry = inquiry }

    /// What is known of who sends the request, for the filter of its fields.
    func sender(_ head: borrowing RequestHead) -> FieldFilter.Sender {
        var speaks: FieldFilter.Speakers = []
        if origin.isPeerTrusted { speaks = forwardedFields.trusted == .forwarded ? .trusted : [.trusted, .proxy] }
        if let trace, trace.parent != 0 { speaks.insert(.traced) }
        return FieldFilter.Sender(
            hasIdentity: identity != nil, speaks: speaks,
            authorizations: head.fields.count(of: .authorization), authorization: rule.authorization(identity))
    }

    /// The value of a variable of the request; nil where it has none, and for a request of the gateway's own.
    func value(of variable: Variable) -> [UInt8]? {
        guard inquiry == nil else { return nil }
        guard case .claim(let name) = variable else { return context.value(of: variable) }
        return identity?.principal.claims.texts(name).map { Array($0.joined(separator: "\u{0}").utf8) }
    }

    /// Forgets who asked, and what was written for them.
    func end() {
        identity = nil
        ownLines = []
        tunnelLines = []
        server = ""
        if trace != nil { trace = nil }
        if inquiry != nil { inquiry = nil }
    }

    /// Makes the field lines that the route sets.
    ///
    /// - Throws: when a value cannot stand where the route wants it.
    package func render() throws(ForwardingError) {
        let rule = rule
        ownLines = []
        var lines = try rule.lines(identity, in: context)
        if !rule.strippedPrefix.isEmpty {
            lines.append("X-Forwarded-Prefix: ")
            lines += rule.strippedPrefix
            lines.append("\r\n")
        }
        if let trace {
            lines.append("traceparent: ")
            trace.append(parent: trace.spanOfTry(attempt), to: &lines)
            lines.append("\r\n")
        }
        ownLines = lines
    }

    /// Appends the head to `output`.
    ///
    /// - Throws: when the rewritten path is not in normal form; `output` may then hold a part of the head.
    package func write(_ shape: RequestShape, to output: inout ByteQueue) throws(ForwardingError) {
        if let inquiry { return inquiry.write(shape, server: server, to: &output) }
        try write(context.head, context.target, to: &output)
        shape.framing.appendField(to: &output)
        if let upgrade = shape.upgrade {
            output.append("Connection: Upgrade\r\nUpgrade: ")
            output.append(upgrade)
            output.appendLineEnd()
            output.append(tunnelLines)
        }
        output.appendLineEnd()
    }

    /// As an upstream of HTTP/2 gets it.
    func write(_ shape: RequestShape, isTLS: Bool, to block: inout FieldBlock) throws(ForwardingError) {
        if let inquiry { return inquiry.write(shape, server: server, isTLS: isTLS, to: &block) }
        try writeForwarded(shape, isTLS: isTLS, to: &block)
    }

    private func write(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, to output: inout ByteQueue
    ) throws(ForwardingError) {
        let (rule, server, authority) = (rule, server, context.authority)
        try RequestHeadWriter.requestLine(head, target, rule, filter, to: &output)
        RequestHeadWriter.fields(
            head, authority, filter, rule, server: server, sender: sender(head), to: &output)
        output.append(ownLines)
        forwardedFields.append(head, context, origin, to: &output)
        if rule.forwardsToken, let token = identity?.principal.token { RequestHeadWriter.bearer(token, to: &output) }
    }
}
