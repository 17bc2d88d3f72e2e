import Bytes
package import HTTPMessage

/// Makes a request's head of the decoded fields of HTTP/2, in the form in which HTTP/1 would have brought it: one request
/// line, one Host, the other fields in their order, one Cookie. A Host that `:authority` does not name comes behind the others.
///
/// nghttp2 has looked at the fields before. All that could make a second line, a second field or a second request of
/// them is looked for here again, because what stands in a ``RequestHead`` is copied into messages of HTTP/1 as it is.
/// Source: RFC 9113 §8.2, §8.3; RFC 8441 §4.
///
/// What it keeps is taken out while it is changed (decision 011).
package final class RequestHeadBuilder {
    /// Where the values of pseudo-fields and of Host stand in `values`.
    private var method: Range<Int>?
    private var scheme: Range<Int>?
    private var authority: Range<Int>?
    private var path: Range<Int>?
    private var tunnel: Range<Int>?
    private var host: Range<Int>?
    private var values = ByteQueue()
    /// All crumbs, as one field value (RFC 9113 §8.2.3).
    private var cookie: [UInt8] = []
    /// The head as far as it is known: nothing until the last pseudo-field has come, then the request line and whole field lines.
    private var arena = ByteQueue()
    private var fields = FieldTable()
    private var named = Method.other
    private var methodRange = ByteRange()
    private var targetRange = ByteRange()
    private var count = 0
    /// Of them, parts of the one Cookie field.
    private var crumbs = 0
    private var bytes = 0
    /// The first thing that was wrong.
    package var error: MessageError? { firstError }
    private var firstError: MessageError?

    private let limits: HeadLimits

    package init(_ limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// The protocol of an extended CONNECT (`:protocol`); nil for every other request.
    package var tunnelProtocol: [UInt8]? { tunnel.map(value) }

    private func value(_ range: Range<Int>) -> [UInt8] {
        var values = exchange(&self.values, with: ByteQueue())
        defer { swap(&values, &self.values) }
        return values.readable.extracting(range).copied()
    }

    package func reset() {
        method = nil
        scheme = nil
        authority = nil
        path = nil
        tunnel = nil
        host = nil
        var values = ByteQueue()
        var arena = ByteQueue()
        var fields = FieldTable()
        swap(&values, &self.values)
        values.removeAll()
        swap(&values, &self.values)
        swap(&arena, &self.arena)
        arena.removeAll()
        swap(&arena, &self.arena)
        swap(&fields, &self.fields)
        if fields.count > 0 { fields.removeAll() }
        swap(&fields, &self.fields)
        if !cookie.isEmpty {
            var whole: [UInt8] = exchange(&cookie, with: [])
            whole.removeAll(keepingCapacity: true)
            swap(&whole, &cookie)
        }
        count = 0
        crumbs = 0
        bytes = 0
        firstError = nil
    }

    /// Takes the next field. After the first error nothing more is kept, but the size is still counted.
    ///
    /// - Returns: the bytes that the peer has had decoded for this head, as the setting for the size of a header list counts them.
    @discardableResult package func add(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Int {
        count += 1
        // RFC 9113 §6.5.2: 32 bytes of overhead for each field.
        bytes += name.count + value.count + 32
        guard firstError == nil else { return bytes }
        do throws(MessageError) {
            guard bytes <= limits.bytes else { throw .headTooLarge }
            // A browser sends each cookie as a field of its own.
            if name.count == 6, FieldName(name) == .cookie {
                crumbs += 1
                guard crumbs <= Limits.cookieCrumbsMax else { throw .tooManyFields }
            }
            guard count - crumbs <= limits.fields else { throw .tooManyFields }
            if name.count > 0, name[0] == 0x3A { try addPseudo(name, value) } else { try addRegular(name, value) }
        } catch {
            firstError = error
        }
        return bytes
    }

    /// A field that nghttp2 would have passed over in silence.
    package func refuse() { if firstError == nil { firstError = .badFieldValue } }

    private func addPseudo(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        guard arena.isEmpty else { throw .badPseudoField }
        switch PseudoField(name) {
        case .method: method = try keep(value, unless: method)
        case .scheme: scheme = try keep(value, unless: scheme)
        case .authority: authority = try keep(value, unless: authority)
        case .path: path = try keep(value, unless: path)
        case .protocol: tunnel = try keep(value, unless: tunnel)
        case nil: throw .badPseudoField
        }
    }

    /// - Parameter present: the value that the field has already; a second one is refused.
    private func keep(_ value: Span<UInt8>, unless present: Range<Int>?) throws(MessageError) -> Range<Int> {
        guard present == nil else { throw .badPseudoField }
        var values = exchange(&self.values, with: ByteQueue())
        let start = values.count
        values.append(value)
        swap(&values, &self.values)
        return start..<start + value.count
    }

    private func addRegular(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(MessageError) {
        if arena.isEmpty { try begin() }
        try FieldCheck.check(name, value)
        switch FieldName(name) {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .http2Settings: throw .connectionField
        case .te where !value.equalsIgnoringCase("trailers"): throw .connectionField
        case .host:
            guard host == nil else { throw .repeatedHost }
            host = try keep(value, unless: nil)
        case .cookie:
            if value.isEmpty { return }
            var whole: [UInt8] = exchange(&cookie, with: [])
            if !whole.isEmpty { whole.append("; ") }
            whole.append(value)
            swap(&whole, &cookie)
        case let id: append(id, name, value)
        }
    }

    private func append(_ id: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) {
        var arena = ByteQueue()
        var fields = FieldTable()
        swap(&arena, &self.arena)
        swap(&fields, &self.fields)
        let start = arena.count
        let valueStart = arena.append(field: name, value)
        fields.append(
            FieldTable.Line(id: id, name: ByteRange(start..<start + name.count), value: ByteRange(valueStart..<valueStart + value.count)))
        swap(&arena, &self.arena)
        swap(&fields, &self.fields)
    }

    /// Begins the head, now that all pseudo-fields are there.
    private func begin() throws(MessageError) {
        guard let method, !method.isEmpty, method.count <= methodBytesMax else { throw .badMethod }
        var values = exchange(&self.values, with: ByteQueue())
        defer { swap(&values, &self.values) }
        write(method, try target(of: method, in: values.readable), of: values.readable)
    }

    private func write(_ method: Range<Int>, _ target: Range<Int>, of values: Span<UInt8>) {
        var arena = exchange(&self.arena, with: ByteQueue())
        // What opens a tunnel is, in HTTP/1, a GET with Upgrade (RFC 8441 §4).
        named = tunnel == nil ? Method(values.extracting(method)) : .get
        if tunnel == nil { arena.append(values.extracting(method)) } else { arena.append("GET") }
        methodRange = ByteRange(0..<arena.count)
        arena.append(0x20)
        targetRange = ByteRange(arena.count..<arena.count + target.count)
        arena.append(values.extracting(target))
        arena.append(version)
        swap(&arena, &self.arena)
        if let authority { appendOwn(.host, values.extracting(authority)) }
    }

    /// Appends a field under the name that it has in HTTP/1.
    private func appendOwn(_ id: FieldName, _ value: Span<UInt8>) {
        let name = id.text.utf8
        append(id, name.span, value)
    }

    /// Completes the head.
    ///
    /// - Parameter head: receives it. Where this throws, it holds nothing (``keepRefused(in:)``).
    package func finish(into head: inout RequestHead) throws(MessageError) {
        head.reset()
        if let firstError { throw firstError }
        if arena.isEmpty { try begin() }
        try finishHost()
        if !cookie.isEmpty {
            let whole = cookie
            appendOwn(.cookie, whole.span)
        }
        var arena = ByteQueue()
        var fields = FieldTable()
        swap(&arena, &self.arena)
        swap(&fields, &self.fields)
        arena.appendLineEnd()
        head.method = named
        head.methodRange = methodRange
        head.targetRange = targetRange
        head.version = .http11
        head.adopt(&arena, &fields)
        swap(&arena, &self.arena)
        swap(&fields, &self.fields)
    }

    /// Leaves in `head` what has come of the request line of a head that was refused.
    package func keepRefused(in head: inout RequestHead) {
        head.reset()
        var values = exchange(&self.values, with: ByteQueue())
        defer { swap(&values, &self.values) }
        guard let method, let path, method.count <= methodBytesMax else { return }
        var arena = exchange(&self.arena, with: ByteQueue())
        var fields = exchange(&self.fields, with: FieldTable())
        defer {
            swap(&arena, &self.arena)
            swap(&fields, &self.fields)
        }
        let type = fields.first(.contentType)?.value.range ?? 0..<0
        head.adoptRefused(
            method: values.readable.extracting(method), target: values.readable.extracting(path),
            contentType: arena.readable.extracting(type))
    }

    private func finishHost() throws(MessageError) {
        var values = exchange(&self.values, with: ByteQueue())
        defer { swap(&values, &self.values) }
        let host = try agreedHost(in: values.readable)
        if authority == nil { appendOwn(.host, values.readable.extracting(host)) }
    }

    // MARK: - What pseudo-fields have to say

    /// The target of a request whose pseudo-fields are sound.
    private func target(of method: Range<Int>, in values: Span<UInt8>) throws(MessageError) -> Range<Int> {
        for index in method where !ASCII.isToken(values[index]) { throw .badMethod }
        let target = try target(Method(values.extracting(method)), in: values)
        guard target.count <= limits.targetBytes else { throw .targetTooLong }
        for index in target where values[index] <= 0x20 || values[index] >= 0x7F { throw .badTarget }
        return target
    }

    private func target(_ method: Method, in values: Span<UInt8>) throws(MessageError) -> Range<Int> {
        let isConnect = method == .connect
        if isConnect, tunnel == nil {
            // RFC 9113 §8.5. The request is refused later; until then its authority stands where HTTP/1 has it.
            guard scheme == nil, path == nil, let authority, !authority.isEmpty else { throw .badPseudoField }
            return authority
        }
        guard isConnect || tunnel == nil, let scheme, let path else { throw .badPseudoField }
        let named = values.extracting(scheme)
        guard named.equalsIgnoringCase("https") || named.equalsIgnoringCase("http") else { throw .badPseudoField }
        // An authority within the path would be a second one.
        let place = values.extracting(path)
        guard place.count > 0, place[0] == 0x2F || place.equals("*") && method == .options else { throw .badTarget }
        return path
    }

    /// `:authority` and Host, where both are there, must be the same (RFC 9113 §8.3.1).
    private func agreedHost(in values: Span<UInt8>) throws(MessageError) -> Range<Int> {
        guard let agreed = authority ?? host else { throw .missingHost }
        if let host, !values.extracting(host).equalsIgnoringCase(values.extracting(agreed)) { throw .repeatedHost }
        guard Authority(values.extracting(agreed)) != nil else { throw .badHost }
        return agreed
    }
}

/// The fields of a request that stand for its first line. Source: RFC 9113 §8.3.1, RFC 8441 §4.
private enum PseudoField: Int {
    case method, scheme, authority, path, `protocol`

    init?(_ name: Span<UInt8>) {
        let candidate: PseudoField
        switch name.count {
        case 5: candidate = .path
        case 7: candidate = name[1] == UInt8(ascii: "m") ? .method : .scheme
        case 9: candidate = .protocol
        case 10: candidate = .authority
        default: return nil
        }
        let text = Self.texts[candidate.rawValue]
        guard name.equals(text.span) else { return nil }
        self = candidate
    }

    /// By raw value.
    private static let texts = [":method", ":scheme", ":authority", ":path", ":protocol"].map { [UInt8]($0.utf8) }
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
private let version = [UInt8](" HTTP/1.1\r\n")
