import Authentication
import Bytes
import ConfigFile
import Configuration
import HTTPMessage
import Routing

extension RouteReply {
    /// The response to one request.
    ///
    /// - Throws: where a location lacks a value, or the values are too long.
    func reply(_ identity: Identity?, in context: RequestContext, form: ReplyForm) throws(Refusal) -> Reply {
        var fields: [UInt8] = []
        switch content {
        case .none:
            // A bare status that tells of an error tells it in the client's own form.
            guard status >= 400 else { break }
            let content = ReplyContent(
                status: status, reason: GatewayReply.routeReason, detail: Reply.phrase(status) + ".", requestID: context.requestID,
                form: form,
                grpcStatus: Refusal.grpcStatus(of: status))
            return Reply(
                status: form == .grpc ? 200 : status, fields: content.fields, body: content.body, isHeadOnly: form == .grpc)
        case .location(let template):
            let location: [UInt8]
            do {
                location = try template.rendered(in: context) { Template.value(of: .claim($0), identity, context) }
            } catch {
                throw .answerUnusable(error.variable)
            }
            fields += [UInt8]("Location: ") + location + [0x0D, 0x0A]
        case .text(let template, let type, let escaping):
            let body = try template.rendered(identity, context, bytesMax: Limits.answerBytesMax) { escaping.applied(to: $0) }
            fields += [UInt8]("Content-Type: \(type)\r\nX-Content-Type-Options: nosniff\r\n")
            return Reply(status: status, fields: fields + cacheLines, body: body)
        }
        return Reply(status: status, fields: fields + cacheLines)
    }

    private var cacheLines: [UInt8] { isPersonal ? [UInt8]("Cache-Control: no-store\r\n") : [] }
}

extension RouteReply.Escaping {
    /// A value as text within the type's markup: in the content of an element or in a quoted attribute, or in a string of JSON.
    fileprivate func applied(to value: [UInt8]) -> [UInt8] {
        // What is no UTF-8 would make the whole response malformed.
        let value = [UInt8](String(decoding: value, as: UTF8.self).utf8)
        if self == .none { return value }
        var output: [UInt8] = []
        for byte in value { append(byte, to: &output) }
        return output
    }

    private func append(_ byte: UInt8, to output: inout [UInt8]) {
        let isMarkup =
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): true
            default: false
            }
        switch self {
        case .html where isMarkup:
            output.append("&#")
            output.append(decimal: Int(byte))
            output.append(UInt8(ascii: ";"))
        case .json where isMarkup || byte < 0x20 || byte == UInt8(ascii: "\\"):
            output.append("\\u00")
            output.append(hexadecimal: UInt64(byte), digits: 2)
        case .none, .html, .json: output.append(byte)
        }
    }
}

extension Template {
    /// The text with the values of the variables; empty for a variable without one.
    ///
    /// - Parameter encode: a value as it stands in the text.
    /// - Throws: for a text that is longer than it may be.
    fileprivate func rendered(
        _ identity: Identity?, _ context: RequestContext, bytesMax: Int, _ encode: ([UInt8]) -> [UInt8]
    ) throws(Refusal) -> [UInt8] {
        var output: [UInt8] = []
        var last: Variable?
        for part in parts {
            switch part {
            case .text(let text): output.append(text)
            case .variable(let variable):
                output += encode(Self.value(of: variable, identity, context))
                last = variable
            }
            if let last, output.count > bytesMax { throw .answerUnusable(last) }
        }
        return output
    }

    fileprivate static func value(of variable: Variable, _ identity: Identity?, _ context: RequestContext) -> [UInt8] {
        guard case .claim(let name) = variable else { return context.value(of: variable) ?? [] }
        return [UInt8]((identity?.principal.claims.texts(name) ?? []).joined(separator: ",").utf8)
    }
}
