import Bytes
package import HTTPMessage

/// Makes a request's head of the decoded fields of HTTP/2, in the form in which HTTP/1 would have brought it: one request
/// line, one Host, one Cookie, then the other fields in their order.
///
/// nghttp2 has looked at the fields before. All that could make a second line, a second field or a second request of
/// them is looked for here again, because what stands in a ``RequestHead`` is copied into messages of HTTP/1 as it is.
/// Source: RFC 9113 §8.2, §8.3; RFC 8441 §4.
package struct RequestHeadBuilder: ~Copyable {
    /// Where the values of pseudo-fields and of Host stand in `values`.
    private var method: Range<Int>?
    private var scheme: Range<Int>?
    private var authority: Range<Int>?
    private var path: Range<Int>?
    private var tunnel: Range<Int>?
    private var host: Range<Int>?
    private var values: [UInt8] = []
    /// All crumbs, as one field value (RFC 9113 §8.2.3).
    private var cookie: [UInt8] = []
    /// Whole field lines, and where the fields stand in them.
    private var lines = ByteQueue()
    private var fields: [FieldTable.Line] = []
    /// The head as it is put together; kept for its storage, as are the others.
    private var arena = ByteQueue()
    private var hasRegularField = false
    private var count = 0
    private var bytes = 0
    /// The first thing that was wrong.
    package private(set) var error: MessageError?

    private let limits: HeadLimits

    package init(_ limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// The protocol of an extended CONNECT (`:protocol`); nil for every other request.
    package var tunnelProtocol: [UInt8]? { tunnel.map { Array(values[$0]) } }

    package mutating func reset() {
        method = nil
        scheme = nil
        authority = nil
        path = nil
        tunnel = nil
        host = nil
        values.removeAll(keepingCapacity: true)
        cookie.removeAll(keepingCapacity: true)
        lines.removeAll()
        fields.removeAll(keepingCapacity: true)
        hasRegularField = false
        count = 0
        bytes = 0
        error = nil
    }

    /// Takes the next field. After the first error nothing more is kept, but the size is still counted.
    ///
    /// - Returns: the bytes that the peer has had decoded for this head, as the setting for the size of a header list counts them.
    @discardableResult package mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Int {
        count += 1
        // RFC 9113 §6.5.2: 32 bytes of overhead for each field.
        bytes += name.count + value.count + 32
        guard error == nil else { return bytes }
        do throws(MessageError) {
            guard bytes <= limits.bytes else { throw .headTooLarge }
            guard count <= limits.fields else { throw .tooManyFields }
            if name.count > 0, name[0] == 0x3A { try addPseudo(name, value) } else { try addRegular(name, value) }
        } catch {
            self.error = error
        }
        return bytes
    }

    /// A field that nghttp2 would have passed over in silence.
    package mutating func refuse() { if error == nil { error = .badFieldValue } }

    private mutating func addPseudo(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        guard !hasRegularField else { throw .badPseudoField }
        switch true {
        case name.equals(":method"): method = try keep(value, unless: method)
        case name.equals(":scheme"): scheme = try keep(value, unless: scheme)
        case name.equals(":authority"): authority = try keep(value, unless: authority)
        case name.equals(":path"): path = try keep(value, unless: path)
        case name.equals(":protocol"): tunnel = try keep(value, unless: tunnel)
        default: throw .badPseudoField
        }
    }

    /// - Parameter present: the value that the field has already; a second one is refused.
    private mutating func keep(_ value: Span<UInt8>, unless present: Range<Int>?) throws(MessageError) -> Range<Int> {
        guard present == nil else { throw .badPseudoField }
        return keep(value)
    }

    private mutating func keep(_ value: Span<UInt8>) -> Range<Int> {
        let start = values.count
        values.append(value)
        return start..<values.count
    }

    private mutating func addRegular(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        hasRegularField = true
        try FieldCheck.check(name, value)
        switch FieldName(name) {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: throw .connectionField
        case .te where !value.equalsIgnoringCase("trailers"): throw .connectionField
        case .host:
            guard host == nil else { throw .repeatedHost }
            host = keep(value)
        case .cookie:
            if value.isEmpty { return }
            if !cookie.isEmpty { cookie.append("; ") }
            cookie.append(value)
        case let id: append(id, name, value)
        }
    }

    private mutating func append(_ id: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) {
        let start = lines.count
        let valueStart = lines.append(field: name, value)
        fields.append(
            FieldTable.Line(id: id, name: ByteRange(start..<start + name.count), value: ByteRange(valueStart..<valueStart + value.count)))
    }

    /// Completes the head.
    ///
    /// - Parameter head: receives it. Where this throws, it holds at most a method and a target, for the log.
    package mutating func finish(into head: inout RequestHead) throws(MessageError) {
        head.reset()
        if let error { throw error }
        guard let method, !method.isEmpty, method.count <= methodBytesMax else { throw .badMethod }
        for index in method where !ASCII.isToken(values[index]) { throw .badMethod }
        let named = Method(values.span.extracting(method))
        let target = try target(named)
        guard target.count <= Limits.targetBytesMax else { throw .targetTooLong }
        for index in target where values[index] <= 0x20 || values[index] >= 0x7F { throw .badTarget }
        let host = try agreedHost()

        var arena = ByteQueue()
        swap(&arena, &self.arena)
        defer { swap(&arena, &self.arena) }
        arena.removeAll()
        // What opens a tunnel is, in HTTP/1, a GET with Upgrade (RFC 8441 §4).
        if tunnel == nil { arena.append(values.span.extracting(method)) } else { arena.append("GET") }
        head.methodRange = ByteRange(0..<arena.count)
        head.method = tunnel == nil ? named : .get
        arena.append(0x20)
        head.targetRange = ByteRange(arena.count..<arena.count + target.count)
        arena.append(values.span.extracting(target))
        arena.append(" HTTP/1.1\r\n")
        Self.append(.host, values.span.extracting(host), to: &arena, &head.fields)
        let base = UInt32(clamping: arena.count)
        for field in fields {
            head.fields.append(
                FieldTable.Line(
                    id: field.id, name: ByteRange(start: field.name.start + base, count: field.name.count),
                    value: ByteRange(start: field.value.start + base, count: field.value.count)))
        }
        arena.append(lines.readable)
        if !cookie.isEmpty { Self.append(.cookie, cookie.span, to: &arena, &head.fields) }
        arena.append("\r\n")
        head.version = .http11
        head.adopt(arena.readable)
    }

    private static func append(_ id: FieldName, _ value: Span<UInt8>, to arena: inout ByteQueue, _ fields: inout FieldTable) {
        let name = id.text.utf8
        let start = arena.count
        let valueStart = arena.append(field: name.span, value)
        fields.append(
            FieldTable.Line(id: id, name: ByteRange(start..<start + name.count), value: ByteRange(valueStart..<valueStart + value.count)))
    }

    private func target(_ method: Method) throws(MessageError) -> Range<Int> {
        let isConnect = method == .connect
        if isConnect, tunnel == nil {
            // RFC 9113 §8.5. The request is refused later; until then its authority stands where HTTP/1 has it.
            guard scheme == nil, path == nil, let authority, !authority.isEmpty else { throw .badPseudoField }
            return authority
        }
        guard isConnect || tunnel == nil, let scheme, let path else { throw .badPseudoField }
        let named = values.span.extracting(scheme)
        guard named.equalsIgnoringCase("https") || named.equalsIgnoringCase("http") else { throw .badPseudoField }
        // An authority within the path would be a second one.
        let place = values.span.extracting(path)
        guard place.hasPrefix("/") || place.equals("*") && method == .options else { throw .badTarget }
        return path
    }

    /// `:authority` and Host, where both are there, must be the same (RFC 9113 §8.3.1).
    private func agreedHost() throws(MessageError) -> Range<Int> {
        guard let agreed = authority ?? host else { throw .missingHost }
        if let host, !values.span.extracting(host).equalsIgnoringCase(values.span.extracting(agreed)) { throw .repeatedHost }
        guard !agreed.isEmpty else { throw .badHost }
        for index in agreed where !ASCII.isAuthorityCharacter(values[index]) { throw .badHost }
        return agreed
    }
}

/// What holds for every field of HTTP/2, so that it can become a line of HTTP/1. Source: RFC 9113 §8.2.1.
package enum FieldCheck {
    package static func check(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        guard name.count > 0 else { throw .badFieldName }
        for index in name.indices where !ASCII.isToken(name[index]) || ASCII.lowercased(name[index]) != name[index] { throw .badFieldName }
        guard value.endOfFieldValue(from: 0) == value.count else { throw .badFieldValue }
        if value.count > 0, value.trimmed(0..<value.count).count != value.count { throw .badFieldValue }
    }
}

private let methodBytesMax = 32
