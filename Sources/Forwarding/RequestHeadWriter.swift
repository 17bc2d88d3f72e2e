import ConfigFile
package import Authentication
package import Bytes
package import System
import HTTP1
import HTTPMessage
package import Routing

/// What is known of the way a request came, for the fields that tell the upstream.
///
/// One for all requests of a connection, and of others of the same peer: what it says of each of them is written once.
package final class DownstreamOrigin: Sendable {
    /// The address of the peer itself.
    package let peer: [UInt8]
    /// Whether the peer may speak for the client (`trusted_proxies`).
    package let isPeerTrusted: Bool
    package let isTLS: Bool
    /// What the PROXY protocol tells an upstream that asks for it.
    package let addresses: ProxyProtocol.Addresses?

    /// X-Forwarded-For, X-Forwarded-Proto and the beginning of Forwarded, of a peer that speaks for itself.
    let ownLines: [UInt8]
    /// Where in it the peer's own element of Forwarded begins, which goes up to the host (RFC 7239 §4).
    private let elementStart: Int

    package init(peer: [UInt8], isPeerTrusted: Bool, isTLS: Bool, addresses: ProxyProtocol.Addresses?) {
        self.peer = peer
        self.isPeerTrusted = isPeerTrusted
        self.isTLS = isTLS
        self.addresses = addresses
        let isV6 = peer.contains(0x3A)
        let lines =
            [UInt8]("X-Forwarded-For: ") + peer + [UInt8](isTLS ? "\r\nX-Forwarded-Proto: https" : "\r\nX-Forwarded-Proto: http")
            + [UInt8]("\r\nForwarded: ")
        elementStart = lines.count
        ownLines = lines + [UInt8](isV6 ? "for=\"[" : "for=") + peer + [UInt8](isV6 ? "]\"" : "")
    }

    func appendForwardedElement(to output: inout ByteQueue) {
        let lines = ownLines
        output.append(lines.span.extracting(elementStart..<lines.count))
    }

    /// Whether another connection of this peer has nothing else to say.
    package func isOrigin(of peer: [UInt8], isPeerTrusted: Bool, isTLS: Bool, addresses: ProxyProtocol.Addresses?) -> Bool {
        self.peer == peer && self.isPeerTrusted == isPeerTrusted && self.isTLS == isTLS && self.addresses == nil && addresses == nil
    }
}

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
    /// The host to name where the client named none.
    var server = ""
    let forwardedFields: ForwardedFields

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

    /// What is known of who sends the request, for the filter of its fields.
    func sender(_ head: borrowing RequestHead) -> FieldFilter.Sender {
        FieldFilter.Sender(
            hasIdentity: identity != nil, isTrusted: origin.isPeerTrusted && forwardedFields.trusted != .forwarded,
            authorizations: head.fields.count(of: .authorization))
    }

    /// Forgets who asked, and what was written for them.
    func end() {
        identity = nil
        ownLines = []
        tunnelLines = []
        server = ""
    }

    /// Makes the field lines that the route sets.
    ///
    /// - Throws: when a value cannot stand where the route wants it.
    package func render() throws(ForwardingError) {
        let rule = rule
        ownLines = []
        var lines: [UInt8]
        switch rule.identityLines(identity?.verified) {
        case .lines(let made): lines = made
        case .unusable(let header): throw .headerUnusable(header)
        }
        do throws(UnusableValue) {
            for header in rule.requestHeaders { try header.append(identity?.verified, context, to: &lines) }
        } catch {
            throw .headerUnusable(error.header)
        }
        if !rule.strippedPrefix.isEmpty {
            lines.append("X-Forwarded-Prefix: ")
            lines += rule.strippedPrefix
            lines.append("\r\n")
        }
        ownLines = lines
    }

    /// Appends the head to `output`.
    ///
    /// - Throws: when the rewritten path is not in normal form; `output` may then hold a part of the head.
    package func write(_ shape: RequestShape, to output: inout ByteQueue) throws(ForwardingError) {
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

    private func write(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, to output: inout ByteQueue
    ) throws(ForwardingError) {
        let (rule, server, authority) = (rule, server, context.authority)
        try RequestHeadWriter.requestLine(head, target, rule, to: &output)
        RequestHeadWriter.fields(
            head, authority, filter, rule.host, server: server, sender: sender(head), to: &output)
        output.append(ownLines)
        forwardedFields.append(head, context, origin, to: &output)
        if rule.forwardsToken, let identity { RequestHeadWriter.bearer(identity.verified.token, to: &output) }
    }
}

/// The pieces of a request's head as an upstream gets it.
enum RequestHeadWriter {
    fileprivate static func requestLine(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, _ rule: ForwardingRule, to output: inout ByteQueue
    ) throws(ForwardingError) {
        output.append(head.bytes.extracting(head.methodRange.range))
        output.append(0x20)
        try path(head, target, rule, to: &output)
        output.append(version)
    }

    /// The path as the route has it sent, with the query.
    static func path(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, _ rule: ForwardingRule, to output: inout ByteQueue
    ) throws(ForwardingError) {
        if rule.strippedSegments == 0, rule.addedPrefix.isEmpty {
            output.append(target.pathSpan)
        } else {
            let path = try rewrittenPath(target, rule)
            output.append(path)
        }
        if !target.query.isEmpty { output.append(head.bytes.extracting(target.query.range)) }
    }

    /// The path with its prefix replaced; checked by the same rules as the one that came in.
    private static func rewrittenPath(_ target: borrowing RequestTarget, _ rule: ForwardingRule) throws(ForwardingError) -> [UInt8] {
        guard target.segments.count >= rule.strippedSegments else { throw .pathUnusable }
        var path = rule.addedPrefix
        for segment in target.segments[rule.strippedSegments...] {
            path.append(0x2F)
            path.append(target.pathSpan.extracting(segment.range))
        }
        if path.isEmpty || target.endsWithSlash && path[path.count - 1] != 0x2F { path.append(0x2F) }
        var check = RequestTarget()
        do {
            try check.normalize(0..<path.count, of: path.span, segmentsMax: .max)
        } catch {
            throw .pathUnusable
        }
        // Two slashes at the beginning, which were not there before, are an authority to some.
        guard check.pathSpan.equals(path), !path.starts(with: [0x2F, 0x2F]) else { throw .pathUnusable }
        if rule.addedPrefix.isEmpty, !check.doubts.isEmpty {
            guard let readings = try? PathReadings.all(of: check), !readings.contains(where: { $0.starts(with: [0x2F, 0x2F]) }) else {
                throw .pathUnusable
            }
        }
        return path
    }

    /// Host, and the client's own fields that pass the filter. Neighbours that pass are copied in one piece.
    fileprivate static func fields(
        _ head: borrowing RequestHead, _ authority: ByteRange?, _ filter: FieldFilter, _ host: ForwardingRule.Host, server: String,
        sender: FieldFilter.Sender, to output: inout ByteQueue
    ) {
        let name = hostName.span
        switch host {
        case .set(let text):
            let utf8 = text.utf8
            output.append(field: name, utf8.span)
        case .keep:
            // HTTP/1.0 may come without; an HTTP/1.1 request has one (RFC 9112 §3.2).
            if let authority {
                output.append(field: name, head.bytes.extracting(authority.range))
            } else {
                let utf8 = server.utf8
                output.append(field: name, utf8.span)
            }
        }
        let bytes = head.bytes
        let namesFields = head.connection.namesFields
        var runStart = -1
        for line in head.fields.lines {
            let start = Int(line.name.start)
            var verdict = filter.verdict(on: line, in: bytes, from: sender)
            if namesFields, verdict != .drop, head.connection.names(bytes.extracting(line.name.range), in: bytes) { verdict = .drop }
            if verdict == .keep {
                if runStart < 0 { runStart = start }
                continue
            }
            if runStart >= 0 { output.append(bytes.extracting(runStart..<start)) }
            runStart = -1
            if verdict == .rewrite { filter.appendCookies(line, in: bytes, to: &output) }
        }
        // The head ends with an empty line, which is written later.
        if runStart >= 0 { output.append(bytes.extracting(runStart..<bytes.count - 2)) }
    }

    static func bearer(_ token: [UInt8], to output: inout ByteQueue) {
        output.append("Authorization: Bearer ")
        output.append(token)
        output.appendLineEnd()
    }
}

private let hostName = [UInt8]("Host")
private let version = [UInt8](" HTTP/1.1\r\n")
