import Bytes
package import HTTPMessage
package import Routing

/// Puts the outside back into what an upstream says of its own places: Location, Content-Location and Refresh, and, where the
/// route replaces a prefix of the path, the Path of its cookies.
///
/// A URL is the upstream's own when its authority is the address that the request went to, the host that was forwarded, or the
/// host of the request, the latter two with the upstream's port, their own or none: servers make them of what they know of
/// themselves. Other URLs stay as they are, and so do paths that begin with the prefix already.
package struct RedirectRewriter {
    private let rule: ForwardingRule
    private let isHTTPS: Bool
    /// As the client named it; empty when it named none.
    private let outside: [UInt8]
    private let requestHost: [UInt8]
    private let inside: [UInt8]

    /// Whether a head has a field that may name a place; asked of every response.
    package static func mayConcern(_ head: borrowing ResponseHead) -> Bool { head.fields.mayNamePlaces }

    /// Nil where nothing is to be rewritten.
    package init?(_ head: borrowing ResponseHead, _ rule: ForwardingRule, _ context: RequestContext, server: String) {
        guard rule.rewritesRedirects, rule.changesPath || head.fields.namesPlaces else { return nil }
        self.rule = rule
        isHTTPS = context.isHTTPS
        outside = context.authority.map { context.head.copy($0) } ?? []
        requestHost = context.host
        inside = Array(server.utf8)
    }

    /// What a field's value becomes; nil where it stays.
    func value(of line: FieldTable.Line, in bytes: Span<UInt8>) -> [UInt8]? {
        switch line.id {
        case .location, .contentLocation: return url(bytes.extracting(line.value.range).copied())
        case .refresh: return refresh(bytes.extracting(line.value.range).copied())
        case .setCookie: return rule.changesPath ? cookie(bytes.extracting(line.value.range).copied()) : nil
        default: return nil
        }
    }

    private func url(_ text: [UInt8]) -> [UInt8]? {
        let isNamedHTTPS = Self.begins(text, with: "https://")
        let scheme = isNamedHTTPS ? 8 : Self.begins(text, with: "http://") ? 7 : text.starts(with: [0x2F, 0x2F]) ? 2 : 0
        guard scheme > 0 else {
            guard text.first == 0x2F else { return nil }
            return changed(text, to: outsidePath(text))
        }
        let end = text[scheme...].firstIndex { $0 == 0x2F || $0 == 0x3F || $0 == 0x23 } ?? text.count
        guard !outside.isEmpty, let owner = owner(of: Array(text[scheme..<end]), isHTTPS: scheme == 2 ? isHTTPS : isNamedHTTPS) else {
            return nil
        }
        // A service that sends a client of plain HTTP on to https means it.
        let isSecure = isHTTPS || isNamedHTTPS && owner == .public
        var rewritten = Array((isSecure ? "https://" : "http://").utf8)
        rewritten += isSecure == isHTTPS ? outside : Array(text[scheme..<end])
        rewritten += outsidePath(Array(text[end...]))
        return changed(text, to: rewritten)
    }

    private enum Owner { case upstream, `public` }

    /// Whose authority this is; nil for a stranger's.
    private func owner(of text: [UInt8], isHTTPS: Bool) -> Owner? {
        guard let authority = Authority(text.span) else { return nil }
        let host = Self.host(authority, text)
        let own = Authority(inside.span)
        let ownPort = own?.port ?? 80
        if let own, Self.host(own, inside) == host, (authority.port ?? (isHTTPS ? 443 : 80)) == ownPort { return .upstream }
        if case .set(let name) = rule.host {
            let bytes = Array(name.utf8)
            if let forwarded = Authority(bytes.span), Self.host(forwarded, bytes) == host,
                authority.port == nil || authority.port == forwarded.port || authority.port == ownPort
            {
                return .upstream
            }
        }
        guard host == requestHost else { return nil }
        let named = Authority(outside.span)?.port
        return authority.port == nil || authority.port == named || authority.port == ownPort ? .public : nil
    }

    private static func host(_ authority: Authority, _ text: [UInt8]) -> [UInt8] {
        var host: [UInt8] = []
        authority.appendHost(of: text.span, to: &host)
        return host
    }

    /// The path, and what follows it, as the client has to ask for it.
    private func outsidePath(_ path: [UInt8]) -> [UInt8] {
        guard rule.changesPath else { return path }
        let (stripped, added) = (rule.strippedPrefix, rule.addedPrefix)
        if !stripped.isEmpty, Self.begins(path, withSegmentsOf: stripped) { return path }
        if added.isEmpty { return stripped + (path.first == 0x2F ? path : [0x2F] + path) }
        guard Self.begins(path, withSegmentsOf: added) else { return path }
        let rest = Array(path.dropFirst(added.count))
        return stripped + (stripped.isEmpty && rest.first != 0x2F ? [0x2F] + rest : rest)
    }

    /// `5; url=http://…`, with or without quotes.
    private func refresh(_ text: [UInt8]) -> [UInt8]? {
        guard let start = text.indices.first(where: { Self.begins(Array(text[$0...].prefix(4)), with: "url=") }) else { return nil }
        var (from, to) = (start + 4, text.count)
        if from < to, text[from] == 0x22 || text[from] == 0x27 {
            let quote = text[from]
            from += 1
            to = text[from...].firstIndex(of: quote) ?? to
        }
        return url(Array(text[from..<to])).map { Array(text[..<from]) + $0 + text[to...] }
    }

    private func cookie(_ text: [UInt8]) -> [UInt8]? {
        let parts = text.split(separator: 0x3B, omittingEmptySubsequences: false).map(Array.init)
        var isChanged = false
        var written: [[UInt8]] = []
        for (index, part) in parts.enumerated() {
            let equals = part.firstIndex(of: 0x3D) ?? part.count
            let name = part.span.trimmed(0..<equals)
            guard index > 0, equals < part.count, part.span.extracting(name).equalsIgnoringCase("path") else {
                written.append(part)
                continue
            }
            let value = Array(part[part.span.trimmed((equals + 1)..<part.count)])
            var path = value.first == 0x2F ? outsidePath(value) : value
            if value == [0x2F], path.count > 1, path.last == 0x2F { path.removeLast() }
            if path != value { isChanged = true }
            written.append(part[...equals] + path)
        }
        return isChanged ? Array(written.joined(separator: [0x3B])) : nil
    }

    private func changed(_ text: [UInt8], to other: [UInt8]) -> [UInt8]? { text == other ? nil : other }

    private static func begins(_ text: [UInt8], with word: String) -> Bool {
        text.count >= word.utf8.count && text.span.extracting(0..<word.utf8.count).equalsIgnoringCase(word)
    }

    private static func begins(_ path: [UInt8], withSegmentsOf prefix: [UInt8]) -> Bool {
        guard path.starts(with: prefix) else { return false }
        return path.count == prefix.count || [0x2F, 0x3F, 0x23].contains(path[prefix.count])
    }
}
