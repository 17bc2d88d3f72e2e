import Authentication
import Bytes
import ConfigFile
import Routing
import System

extension Limit {
    /// Appends the key of a request: the limit's name, then each part with its length, so that no two lists of parts
    /// render alike; and of a claim that is an array each element with its own. An IPv6 address counts as its network of 64 bits, all of
    /// which one subscriber has.
    ///
    /// Where a variable has no value, the client's address stands for it: else all clients without one would share a quota.
    ///
    /// - Returns: whether it does so anywhere, so that the key is this client's alone.
    @discardableResult
    func renderKey(_ identity: Identity?, in context: RequestContext, into output: inout [UInt8]) -> Bool {
        var hasStandIn = false
        beginKey(&output)
        for template in key {
            output.append(0x3A)
            let start = output.count
            if Self.append(template, identity, context, to: &output) { hasStandIn = true }
            Self.endPart(from: start, &output)
        }
        return hasStandIn
    }

    /// What the limits of a subject have in common, so that they stand together; nil without `together`.
    func tag(_ identity: Identity?, in context: RequestContext) -> [UInt8]? {
        guard let together else { return nil }
        var bytes: [UInt8] = []
        _ = Self.append(together, identity, context, to: &bytes)
        return bytes
    }

    /// Who has a part of a quota that is divided; nil where none is.
    func partKey(_ identity: Identity?, in context: RequestContext) -> [UInt8]? {
        guard let sharedBy else { return nil }
        var bytes: [UInt8] = []
        _ = Self.append(sharedBy, identity, context, to: &bytes)
        return bytes
    }

    /// - Returns: whether the client's address stands for a variable.
    private static func append(
        _ template: Template, _ identity: Identity?, _ context: RequestContext, to output: inout [UInt8]
    ) -> Bool {
        var hasStandIn = false
        for part in template.parts {
            switch part {
            case .text(let text): output.append(text)
            case .variable(.claim(let name)):
                guard let claims = identity?.principal.claims, let texts = claims.texts(name), !texts.isEmpty else {
                    appendMissing(context.clientIP, to: &output)
                    hasStandIn = true
                    continue
                }
                guard claims.isArray(name) else {
                    output.append(ofValue)
                    output.append(texts[0])
                    continue
                }
                append(list: texts, to: &output)
            case .variable(.clientIP):
                output.append(ofValue)
                appendNetwork(context.clientIP, to: &output)
            case .variable(let variable):
                guard let value = context.value(of: variable) else {
                    appendMissing(context.clientIP, to: &output)
                    hasStandIn = true
                    continue
                }
                output.append(ofValue)
                output.append(value.span)
            }
        }
        return hasStandIn
    }

    func beginKey(_ output: inout [UInt8]) {
        output.append(name)
        // What is counted otherwise is another count: processes of two configurations may run side by side.
        switch quota.windows?.kind {
        case nil: if quota.lockout != nil { output.append("/lockout") }
        case .fixed: output.append("/fixed")
        case .sliding: output.append("/sliding")
        case .concurrent: output.append("/concurrent")
        case .calendar: output.append("/calendar")
        }
    }

    static func endPart(from start: Int, _ output: inout [UInt8]) {
        let length = output.count - start
        output.append(0x23)
        output.append(decimal: length)
    }

    static func append(list texts: [String], to output: inout [UInt8]) {
        output.append(ofArray)
        for text in texts {
            output.append(decimal: text.utf8.count)
            output.append(0x2C)
            output.append(text)
        }
    }

    static func appendMissing(_ client: [UInt8], to output: inout [UInt8]) {
        output.append(ofNothing)
        appendNetwork(client, to: &output)
    }

    static func appendNetwork(_ client: [UInt8], to output: inout [UInt8]) {
        if client.contains(0x3A), let address = IPAddress(String(decoding: client, as: UTF8.self)), !address.isV4 {
            output.append(decimal: address.high)
        } else {
            output.append(client.span)
        }
    }
}

// What stands before a variable's value, so that none is taken for one of another kind.
let ofValue = UInt8(ascii: "=")
private let ofArray = UInt8(ascii: "*")
private let ofNothing = UInt8(ascii: "~")
