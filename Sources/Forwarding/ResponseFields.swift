package import Authentication
import Bytes
package import ConfigFile
package import HTTPMessage
package import Routing

/// What a route says in its responses besides, or in place of, what the upstream says.
package final class ResponseFields: Sendable {
    package enum Action: Hashable, Sendable {
        /// Besides what is there.
        case add
        /// In place of what is there.
        case set
        /// Where nothing is there.
        case complete
    }

    package struct Field: Hashable, Sendable {
        package let name: String
        package let value: Template
        package let action: Action
        /// Also in the gateway's own responses, such as refusals.
        package let isAlways: Bool
        /// Only where the client's connection is secure (RFC 6797 §7.2).
        package let needsTLS: Bool

        /// In lower case.
        fileprivate let key: [UInt8]

        init(_ name: String, _ value: Template, _ action: Action, isAlways: Bool, needsTLS: Bool = false) {
            self.name = name
            self.value = value
            self.action = action
            self.isAlways = isAlways
            self.needsTLS = needsTLS
            key = [UInt8](name.lowercased().utf8)
        }
    }

    package let fields: [Field]
    /// Names that are taken out of the upstream's responses, in lower case.
    package let removed: [String]
    private let dropped: [[UInt8]]
    private let hasCompleting: Bool

    init(fields: [Field], removed: [String]) {
        self.fields = fields
        self.removed = removed
        dropped = removed.map { [UInt8]($0.utf8) } + fields.filter { $0.action == .set }.map(\.key)
        hasCompleting = fields.contains { $0.action == .complete }
    }

    package var variables: [Variable] { fields.flatMap(\.value.variables) }

    /// The same without fields that speak of the body's bytes, for a response whose body goes on in another coding.
    package static func ofCoded(_ own: ResponseFields?) -> ResponseFields {
        ResponseFields(
            fields: own?.fields ?? [],
            removed: (own?.removed ?? []) + ["etag", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"])
    }

    /// The same without some more of the upstream's fields.
    fileprivate func hiding(_ names: Set<String>) -> ResponseFields { ResponseFields(fields: fields, removed: removed + names.sorted()) }

    /// Whether a field of the upstream's does not go on.
    package func drops(_ name: Span<UInt8>) -> Bool {
        for key in dropped where key.count == name.count && name.equalsIgnoringCase(key.span) { return true }
        return false
    }

    /// What a head has of that which is said only where nothing is: a bit for each field, by its index.
    package func present(in head: borrowing ResponseHead) -> UInt64 {
        guard hasCompleting else { return 0 }
        var bits: UInt64 = 0
        for (index, field) in fields.enumerated() where field.action == .complete && index < 64 {
            // What the route says of it itself, and what it takes away, counts as said.
            let isSaid =
                fields.contains { $0.action != .complete && $0.key == field.key }
                || removed.contains(String(decoding: field.key, as: UTF8.self))
            if isSaid || head.fields.first(named: field.key.span, in: head.bytes) != nil { bits |= 1 << UInt64(index) }
        }
        return bits
    }

    /// Appends what is said besides to the head of an upstream's response.
    ///
    /// - Parameter present: see ``present(in:)``.
    package func append<Output: FieldOutput & ~Copyable>(
        _ identity: Identity?, _ context: RequestContext, present: UInt64, to output: inout Output
    ) {
        for (index, field) in fields.enumerated() where field.action != .complete || present >> UInt64(index) & 1 == 0 {
            if let line = line(field, identity, context) { output.append(lines: line) }
        }
    }

    /// A response of the gateway's own, with what the route says of it.
    ///
    /// - Parameter isRoutes: whether the route itself gives it (`answer`), and it refuses nothing.
    package func completed(_ reply: Reply, isRoutes: Bool, _ identity: Identity?, _ context: RequestContext) -> Reply {
        let applying = fields.filter { $0.isAlways || isRoutes }
        guard !applying.isEmpty else { return reply }
        var lines: [UInt8] = []
        var present: Set<[UInt8]> = []
        var said: Set<[UInt8]> = []
        for line in reply.fields.split(separator: 0x0A) {
            let name = line.prefix { $0 != UInt8(ascii: ":") }.map(ASCII.lowercased)
            present.insert(name)
            if applying.contains(where: { $0.action == .set && $0.key == name }) { continue }
            lines += line
            lines.append(0x0A)
            said.insert(line + [0x0A])
        }
        for field in applying where field.action != .complete { present.insert(field.key) }
        for field in applying where field.action != .complete || !present.contains(field.key) {
            // What the gateway says by itself, such as nosniff, is not said twice.
            if let line = line(field, identity, context), !said.contains(line) { lines += line }
        }
        return Reply(
            status: reply.status, fields: lines, body: reply.body, endsConnection: reply.endsConnection, isHeadOnly: reply.isHeadOnly)
    }

    /// Nil where a variable has no value, or one that no field can carry: a response is not kept back for it.
    private func line(_ field: Field, _ identity: Identity?, _ context: RequestContext) -> [UInt8]? {
        if field.needsTLS, !context.isHTTPS { return nil }
        var line: [UInt8] = []
        let header = ForwardingRule.Header(name: field.name, value: field.value)
        guard (try? header.append(identity?.principal, context, to: &line)) != nil, !line.isEmpty else { return nil }
        return line
    }
}

extension ResponseFields? {
    /// The same without some more of the upstream's fields, named in lower case.
    package func hiding(_ names: Set<String>) -> ResponseFields? {
        names.isEmpty ? self : (self ?? ResponseFields(fields: [], removed: [])).hiding(names)
    }
}
