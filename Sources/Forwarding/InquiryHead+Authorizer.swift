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
        _ authorizer: Authorizer, for context: RequestContext, from origin: DownstreamOrigin, _ forwarded: ForwardedFields
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
        Self.append(context.head, context, origin, forwarded, without: authorizer.sentNames, to: &lines)
        self.init(method: [UInt8](authorizer.method.utf8), path: path, authority: host, fields: lines.readable.copied())
    }

    private static func append(
        _ head: borrowing RequestHead, _ context: RequestContext, _ origin: DownstreamOrigin, _ forwarded: ForwardedFields,
        without names: [[UInt8]], to lines: inout ByteQueue
    ) {
        func sends(_ name: String) -> Bool { names.isEmpty || !names.contains(FieldIdentity.fold(name)) }
        var hasCookie = false
        for line in head.fields.lines {
            let value = head.bytes.extracting(line.value.range)
            switch line.id {
            case .cookie where sends("cookie"):
                // Over HTTP/2 they may come in several fields (RFC 9113 §8.2.3).
                lines.append(hasCookie ? "; " : "Cookie: ")
                hasCookie = true
                lines.append(value)
            default: break
            }
        }
        if hasCookie { lines.appendLineEnd() }
        for (id, name) in [(FieldName.authorization, "Authorization"), (.accept, "Accept"), (.userAgent, "User-Agent")] where sends(name) {
            // Of two nobody could say which one decides.
            guard head.fields.count(of: id) == 1, let value = head.value(id) else { continue }
            lines.append(field: [UInt8](name.utf8).span, head.bytes.extracting(value))
        }
        forwarded.append(head, context, origin, to: &lines)
        let method = head.bytes.extracting(head.methodRange.range)
        let query = head.bytes.extracting(context.target.query.range)
        for name in ["X-Forwarded-Method", "X-Original-Method"] where sends(name) {
            lines.append(field: [UInt8](name.utf8).span, method)
        }
        for name in ["X-Forwarded-Uri", "X-Original-URI", "X-Original-URL"] where sends(name) {
            lines.append(name)
            lines.append(": ")
            if name == "X-Original-URL", let authority = context.authority {
                lines.append(context.isHTTPS ? "https://" : "http://")
                lines.append(head.bytes.extracting(authority.range))
            }
            lines.append(context.target.pathSpan)
            lines.append(query)
            lines.appendLineEnd()
        }
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
