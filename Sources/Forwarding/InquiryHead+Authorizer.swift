import HTTP2
package import Authentication
import Bytes
import ConfigFile
import HTTPMessage
package import Routing

extension InquiryHead {
    /// What an external authorizer is asked of a request: its credentials as they came, and by the X-Forwarded family who asks for what.
    ///
    /// The path that it is told is the one that the gateway goes by, and not another spelling of it.
    ///
    /// - Throws: for a value that cannot stand where the file wants it.
    package init(
        _ authorizer: Authorizer, for context: RequestContext, from origin: DownstreamOrigin, _ forwarded: ForwardedFields,
        _ filter: FieldFilter
    ) throws(ForwardingError) {
        let path: [UInt8]
        do {
            path = try authorizer.path.rendered(in: context) { _ in nil }
        } catch {
            throw .headerUnusable(error.variable.name)
        }
        var host: String?
        if let template = authorizer.host {
            var line: [UInt8] = []
            try ForwardingRule.Header(name: "Host", value: template).appendOrThrow(context, to: &line)
            host = String(decoding: line.dropFirst(6).dropLast(2), as: UTF8.self)
            if let host, Authority([UInt8](host.utf8).span) == nil { throw .headerUnusable("Host") }
        }
        var lines = ByteQueue()
        // An empty text says that the field is not to be sent.
        for field in authorizer.sent where field.value.parts != [.text("")] {
            var line: [UInt8] = []
            try ForwardingRule.Header(name: field.name, value: field.value).appendOrThrow(context, to: &line)
            lines.append(line)
        }
        Self.append(context.head, context, origin, forwarded, filter, without: authorizer.sentNames, to: &lines)
        self.init(method: [UInt8](authorizer.method.utf8), path: path, authority: host, fields: lines.readable.copied())
    }

    private static func append(
        _ head: borrowing RequestHead, _ context: RequestContext, _ origin: DownstreamOrigin, _ forwarded: ForwardedFields,
        _ filter: FieldFilter, without names: [[UInt8]], to lines: inout ByteQueue
    ) {
        func sends(_ name: String) -> Bool { names.isEmpty || !names.contains(FieldIdentity.fold(name)) }
        if head.fields.has(.cookie), sends("cookie") {
            // Over HTTP/2 they may come in several fields (RFC 9113 §8.2.3). The authorizer gets credentials, and no other cookie of the gateway's.
            var isFirst = true
            for line in head.fields.lines where line.id == .cookie {
                filter.appendCookies(line, in: head.bytes, isFirst: &isFirst, to: &lines)
            }
            if !isFirst { lines.appendLineEnd() }
        }
        if sends("authorization") { append("Authorization: ", .authorization, of: head, to: &lines) }
        if sends("accept") { append("Accept: ", .accept, of: head, to: &lines) }
        if sends("user-agent") { append("User-Agent: ", .userAgent, of: head, to: &lines) }
        forwarded.append(head, context, origin, to: &lines)
        if sends("x-forwarded-method") { append("X-Forwarded-Method: ", head.methodRange, of: head, to: &lines) }
        if sends("x-original-method") { append("X-Original-Method: ", head.methodRange, of: head, to: &lines) }
        if sends("x-forwarded-uri") { append("X-Forwarded-Uri: ", head, context, filter, isURL: false, to: &lines) }
        if sends("x-original-uri") { append("X-Original-URI: ", head, context, filter, isURL: false, to: &lines) }
        if sends("x-original-url") { append("X-Original-URL: ", head, context, filter, isURL: true, to: &lines) }
    }

    /// A field of the client's, where there is one; of two nobody could say which one decides.
    private static func append(_ start: String, _ id: FieldName, of head: borrowing RequestHead, to lines: inout ByteQueue) {
        guard head.fields.has(id), head.fields.count(of: id) == 1, let line = head.fields.first(id) else { return }
        append(start, line.value, of: head, to: &lines)
    }

    private static func append(_ start: String, _ part: ByteRange, of head: borrowing RequestHead, to lines: inout ByteQueue) {
        lines.append(start)
        lines.append(head.bytes.extracting(part.range))
        lines.appendLineEnd()
    }

    /// What is asked for: with the host where that is wanted and known.
    private static func append(
        _ start: String, _ head: borrowing RequestHead, _ context: RequestContext, _ filter: FieldFilter, isURL: Bool,
        to lines: inout ByteQueue
    ) {
        lines.append(start)
        if isURL, let authority = context.authority {
            lines.append(context.isHTTPS ? "https://" : "http://")
            lines.append(head.bytes.extracting(authority.range))
        }
        lines.append(context.target.pathSpan)
        if !context.target.query.isEmpty { filter.append(query: context.target.query.range, in: head.bytes, to: &lines) }
        lines.appendLineEnd()
    }
}

extension ForwardingRule.Header {
    fileprivate func appendOrThrow(_ context: RequestContext, to lines: inout [UInt8]) throws(ForwardingError) {
        do {
            try append(nil, context, to: &lines)
        } catch {
            throw .headerUnusable(error.header)
        }
    }
}
