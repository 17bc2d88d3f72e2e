import Bytes
import ConfigFile
import HTTPMessage
import Routing

extension Authorizer {
    /// What tells one request from another in the cache: all that the authorizer may go by.
    ///
    /// That is the URL and the method, the client's address, its Authorization, Accept and User-Agent, what the file has sent besides, and the cookies that the file
    /// names, or all of them. With `only` it is what the file names, and Authorization.
    ///
    /// - Returns: nil where it is not remembered: there is no cache, or none of what the file names is there, so that nobody knows what the
    ///   authorizer would go by.
    func cacheKey(of context: RequestContext) -> [UInt8]? {
        guard let rule = cache else { return nil }
        return key(rule, context, context.head, context.target)
    }

    private func key(_ rule: CacheRule, _ context: RequestContext, _ head: borrowing RequestHead, _ target: borrowing RequestTarget)
        -> [UInt8]?
    {
        var key: [UInt8] = []
        key.reserveCapacity(keyBytesUsual)
        var hasNamed = rule.variables.isEmpty
        for variable in rule.variables {
            let value = context.value(of: variable)
            // Present, but with two values: nobody knows which of them the authorizer goes by.
            if value == nil, Self.isPresent(variable, head, target) { return nil }
            if Self.tellsWho(variable), value.map({ !$0.isEmpty }) ?? false { hasNamed = true }
            Self.append(value, to: &key)
        }
        for line in head.fields.lines {
            switch line.id {
            case .authorization: hasNamed = true
            case .cookie where rule.variables.isEmpty: break
            case .accept where !rule.isExact, .userAgent where !rule.isExact: break
            default: continue
            }
            key.append(UInt8(line.id.rawValue))
            Self.append(head.bytes.extracting(line.value.range), to: &key)
        }
        guard hasNamed else { return nil }
        key.append(0)
        if !rule.isExact {
            key.append(context.isHTTPS ? 1 : 0)
            Self.append(head.bytes.extracting(head.methodRange.range), to: &key)
            Self.append(head.bytes.extracting(context.authority?.range ?? 0..<0), to: &key)
            Self.append(target.pathSpan, to: &key)
            Self.append(head.bytes.extracting(target.query.range), to: &key)
            Self.append(context.clientIP.span, to: &key)
            for variable in sentVariables { Self.append(context.value(of: variable), to: &key) }
        }
        return key.count <= keyBytesMax ? key : nil
    }

    /// Whether a variable may tell one client from another; all others have a value for everybody.
    private static func tellsWho(_ variable: Variable) -> Bool {
        switch variable {
        case .cookie, .header, .query: true
        default: false
        }
    }

    private static func isPresent(_ variable: Variable, _ head: borrowing RequestHead, _ target: borrowing RequestTarget) -> Bool {
        switch variable {
        case .cookie(let name): head.hasCookie(named: name)
        case .header(let name): head.hasField(named: name)
        case .query(let name): head.hasParameter(named: name, in: target.query)
        default: false
        }
    }

    private static func append(_ value: [UInt8]?, to key: inout [UInt8]) {
        guard let value else { return key.append(0xFF) }
        append(value.span, to: &key)
    }

    /// Each value with its length, so that no two lists of values make one key.
    private static func append(_ value: Span<UInt8>, to key: inout [UInt8]) {
        key.append(UInt8(truncatingIfNeeded: value.count >> 8))
        key.append(UInt8(truncatingIfNeeded: value.count))
        key.append(value)
    }
}

private let keyBytesUsual = 1_024
private let keyBytesMax = 8_192
