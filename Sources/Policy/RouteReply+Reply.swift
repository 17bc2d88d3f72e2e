import Authentication
import Bytes
import ConfigFile
import Configuration
import Forwarding
import HTTPMessage
import Routing

extension RouteReply {
    /// The response to one request.
    ///
    /// - Throws: where a variable's value cannot stand in the response.
    func reply(_ identity: Identity?, in context: RequestContext, form: ReplyForm) throws(Refusal) -> Reply {
        switch content {
        case .none:
            // A bare status that tells of an error tells it in the client's own form.
            guard status >= 400 else { return Reply(status: status) }
            let content = ReplyContent(
                status: status, reason: GatewayReply.routeReason, detail: Reply.phrase(status) + ".", requestID: context.requestID,
                form: form,
                grpcStatus: status == 401 ? 16 : status == 403 ? 7 : status == 404 ? 12 : 2)
            return Reply(
                status: form == .grpc ? 200 : status, fields: content.fields, body: content.body, isHeadOnly: form == .grpc)
        case .location(let template):
            var location: [UInt8] = []
            template.append(identity, context, to: &location) { byte, output in
                guard !isOfURL(byte) else { return output.append(byte) }
                output.append(0x25)
                output.append(ASCII.hexDigit(byte >> 4, uppercase: true))
                output.append(ASCII.hexDigit(byte & 15, uppercase: true))
            }
            guard location.count <= Limits.locationBytesMax else { throw .forwarding(.headerUnusable("location")) }
            return Reply(status: status, fields: [UInt8]("Location: ") + location + [0x0D, 0x0A])
        case .text(let template, let type):
            let escape = Escape(type)
            var body: [UInt8] = []
            template.append(identity, context, to: &body) { byte, output in escape.append(byte, to: &output) }
            return Reply(
                status: status, fields: [UInt8]("Content-Type: \(type)\r\nX-Content-Type-Options: nosniff\r\n"), body: body)
        }
    }
}

/// How the value of a variable is kept from being read as more than text.
private enum Escape {
    case none, html, json

    init(_ type: String) {
        let name = type.lowercased()
        self = name.contains("html") || name.contains("xml") ? .html : name.contains("json") || name.contains("javascript") ? .json : .none
    }

    func append(_ byte: UInt8, to output: inout [UInt8]) {
        switch (self, byte) {
        case (.html, UInt8(ascii: "<")): output.append("&lt;")
        case (.html, UInt8(ascii: ">")): output.append("&gt;")
        case (.html, UInt8(ascii: "&")): output.append("&amp;")
        case (.html, UInt8(ascii: "\"")): output.append("&quot;")
        case (.html, UInt8(ascii: "'")): output.append("&#39;")
        case (.json, UInt8(ascii: "\"")), (.json, UInt8(ascii: "\\")), (.json, 0..<0x20), (.json, UInt8(ascii: "<")):
            output.append("\\u00")
            output.append(hexadecimal: UInt64(byte), digits: 2)
        default: output.append(byte)
        }
    }
}

/// What stands in a URL as it is (RFC 3986 §2.2, §2.3), and the percent sign of what is encoded already.
private func isOfURL(_ byte: UInt8) -> Bool {
    ASCII.isUnreserved(byte) || byte == 0x25 || [UInt8](":/?#[]@!$&'()*+,;=".utf8).contains(byte)
}

extension Template {
    /// Appends the text with the values of the variables; one without a value is left out.
    ///
    /// - Parameter escape: appends one byte of a value.
    fileprivate func append(
        _ identity: Identity?, _ context: RequestContext, to output: inout [UInt8], escape: (UInt8, inout [UInt8]) -> Void
    ) {
        for part in parts {
            switch part {
            case .text(let text): output.append(text)
            case .variable(.claim(let name)):
                for (index, text) in (identity?.principal.claims.texts(name) ?? []).enumerated() {
                    if index > 0 { escape(UInt8(ascii: ","), &output) }
                    for byte in text.utf8 { escape(byte, &output) }
                }
            case .variable(let variable): for byte in context.value(of: variable) ?? [] { escape(byte, &output) }
            }
        }
    }
}
