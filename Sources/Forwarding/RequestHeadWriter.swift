import ConfigFile
import Authentication
import Bytes
package import EventLoop
import HTTP1
import HTTPMessage
import Routing

/// What is known of the way a request came, for the fields that tell the upstream.
package struct DownstreamOrigin: Sendable {
    /// The address of the peer itself.
    package var peer: [UInt8] = []
    /// Whether the peer may speak for the client (`trusted_proxies`).
    package var isPeerTrusted = false
    package var isTLS = false
    /// What the PROXY protocol tells an upstream that asks for it.
    package var addresses: ProxyProtocol.Addresses?

    package init() {}
}

/// A request's head on its way out, whichever version of HTTP takes it.
struct OutgoingHead {
    let writer: RequestHeadWriter
    let context: RequestContext
    let identity: Identity?
    /// Those of ``RequestHeadWriter/ownLines(_:_:)``.
    let ownLines: [UInt8]
    /// The host to name where the client named none.
    let server: String
}

/// Writes the head of a request as an upstream gets it.
struct RequestHeadWriter {
    let rule: ForwardingRule
    let filter: FieldFilter
    let origin: DownstreamOrigin
    /// Field lines that opening a tunnel needs besides those of the client.
    let tunnelLines: [UInt8]

    /// The field lines that the route sets.
    ///
    /// - Throws: when a value cannot stand where the route wants it.
    func ownLines(_ context: RequestContext, _ identity: Identity?) throws(ForwardingError) -> [UInt8] {
        let lines = try identityLines(identity)
        return rule.requestHeaders.isEmpty ? lines : lines + (try requestLines(context, identity))
    }

    fileprivate static func requestLine(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, _ rule: ForwardingRule, to output: inout ByteQueue
    ) throws(ForwardingError) {
        output.append(head.bytes.extracting(head.methodRange.range))
        output.append(0x20)
        try path(head, target, rule, to: &output)
        output.append(" HTTP/1.1\r\n")
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
            try check.normalize(0..<path.count, of: path.span)
        } catch {
            throw .pathUnusable
        }
        guard check.pathSpan.equals(path) else { throw .pathUnusable }
        return path
    }

    /// Host, and the client's own fields that pass the filter. Neighbours that pass are copied in one piece.
    fileprivate static func fields(
        _ head: borrowing RequestHead, _ filter: FieldFilter, _ host: ForwardingRule.Host, server: String, hasIdentity: Bool,
        to output: inout ByteQueue
    ) {
        output.append("Host: ")
        switch host {
        case .set(let name): output.append(name)
        case .keep:
            // HTTP/1.0 may come without; an HTTP/1.1 request has one (RFC 9112 §3.2).
            if let range = head.value(.host) { output.append(head.bytes.extracting(range)) } else { output.append(server) }
        }
        output.append("\r\n")
        let named = ConnectionOptions(head.fields, head.bytes)
        let bytes = head.bytes
        var runStart = -1
        for line in head.fields.lines {
            let start = Int(line.name.start)
            var verdict = filter.verdict(on: line, in: bytes, hasIdentity: hasIdentity)
            if verdict != .drop, named.contains(bytes.extracting(line.name.range), in: bytes) { verdict = .drop }
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

    private func identityLines(_ identity: Identity?) throws(ForwardingError) -> [UInt8] {
        switch rule.identityLines(identity?.verified) {
        case .lines(let lines): return lines
        case .unusable(let header): throw .headerUnusable(header)
        }
    }

    private func requestLines(_ context: RequestContext, _ identity: Identity?) throws(ForwardingError) -> [UInt8] {
        var lines: [UInt8] = []
        do throws(UnusableValue) {
            for header in rule.requestHeaders { try header.append(identity?.verified, context, to: &lines) }
        } catch {
            throw .headerUnusable(error.header)
        }
        return lines
    }

    /// X-Forwarded-For, -Proto, -Host, Forwarded (RFC 7239) and X-Request-Id. A trusted peer's own words are kept and added
    /// to; anybody else's are dropped.
    static func forwardedFields(
        _ head: borrowing RequestHead, _ requestID: [UInt8], _ origin: DownstreamOrigin, to output: inout ByteQueue
    ) {
        let trusted = origin.isPeerTrusted
        output.append("X-Forwarded-For: ")
        if trusted {
            for line in head.fields.lines where line.id == .xForwardedFor && !line.value.isEmpty {
                output.append(head.bytes.extracting(line.value.range))
                output.append(", ")
            }
        }
        output.append(origin.peer)
        output.append("\r\nX-Forwarded-Proto: ")
        var isTLS = origin.isTLS
        if trusted, let told = head.value(.xForwardedProto) {
            let scheme = head.bytes.extracting(told)
            if scheme.equalsIgnoringCase("https") { isTLS = true }
            if scheme.equalsIgnoringCase("http") { isTLS = false }
        }
        output.append(isTLS ? "https" : "http")
        var host = head.value(.host)
        if trusted, let told = head.value(.xForwardedHost) { host = told }
        if let host {
            output.append("\r\nX-Forwarded-Host: ")
            output.append(head.bytes.extracting(host))
        }
        output.append("\r\nForwarded: ")
        if trusted {
            for line in head.fields.lines where line.id == .forwarded && !line.value.isEmpty {
                output.append(head.bytes.extracting(line.value.range))
                output.append(", ")
            }
        }
        let isV6 = origin.peer.contains(0x3A)
        output.append(isV6 ? "for=\"[" : "for=")
        output.append(origin.peer)
        output.append(isV6 ? "]\"" : "")
        if let host = head.value(.host), !host.isEmpty {
            output.append(";host=\"")
            output.append(head.bytes.extracting(host))
            output.append("\"")
        }
        output.append(origin.isTLS ? ";proto=https" : ";proto=http")
        output.append("\r\nX-Request-Id: ")
        output.append(requestID)
        output.append("\r\n")
    }

    static func bearer(_ head: borrowing RequestHead, _ token: Range<Int>, to output: inout ByteQueue) {
        output.append("Authorization: Bearer ")
        output.append(head.bytes.extracting(token))
        output.append("\r\n")
    }
}

extension OutgoingHead {
    /// Appends the head to `output`.
    ///
    /// - Throws: when the rewritten path is not in normal form; `output` may then hold a part of the head.
    func write(_ shape: RequestShape, to output: inout ByteQueue) throws(ForwardingError) {
        let rule = writer.rule
        try RequestHeadWriter.requestLine(context.head, context.target, rule, to: &output)
        RequestHeadWriter.fields(context.head, writer.filter, rule.host, server: server, hasIdentity: identity != nil, to: &output)
        output.append(ownLines)
        RequestHeadWriter.forwardedFields(context.head, context.requestID, writer.origin, to: &output)
        if rule.forwardsToken, let identity { RequestHeadWriter.bearer(context.head, identity.token, to: &output) }
        switch shape.framing {
        case .none, .close: break
        case .length(let count):
            output.append("Content-Length: ")
            output.append(decimal: count)
            output.append("\r\n")
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        }
        if let upgrade = shape.upgrade {
            output.append("Connection: Upgrade\r\nUpgrade: ")
            output.append(upgrade)
            output.append("\r\n")
            output.append(writer.tunnelLines)
        }
        output.append("\r\n")
    }
}

/// The fields that a Connection field names as belonging to one connection (RFC 9110 §7.6.1).
struct ConnectionOptions {
    private var names: [Range<Int>] = []

    init(_ fields: borrowing FieldTable, _ bytes: Span<UInt8>) {
        for line in fields.lines where line.id == .connection {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                let name = bytes.extracting(element)
                // The usual options name no field.
                if name.equalsIgnoringCase("close") || name.equalsIgnoringCase("keep-alive") { continue }
                names.append(element)
            }
        }
    }

    func contains(_ name: Span<UInt8>, in bytes: Span<UInt8>) -> Bool {
        for range in names where bytes.extracting(range).equalsIgnoringCase(name) { return true }
        return false
    }
}
