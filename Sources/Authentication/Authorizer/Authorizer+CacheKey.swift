import Bytes
import ConfigFile
import HTTPMessage
package import Routing

extension Authorizer {
    /// What tells one request from another in the cache: all that the authorizer may go by.
    ///
    /// That is the URL and the method, the client's address, its Authorization, what the file has sent besides, and the cookies that the file
    /// names, or all of them. With `only` it is what the file names, and Authorization.
    ///
    /// - Returns: nil where it is not remembered: there is no cache, or none of what the file names is there, so that nobody knows what the
    ///   authorizer would go by.
    package func cacheKey(of context: RequestContext) -> [UInt8]? {
        guard let rule = cache else { return nil }
        return key(rule, context, context.head)
    }

    private func key(_ rule: CacheRule, _ context: RequestContext, _ head: borrowing RequestHead) -> [UInt8]? {
        var key: [UInt8] = []
        var hasNamed = rule.variables.isEmpty
        for variable in rule.variables {
            let value = context.value(of: variable)
            if value.map({ !$0.isEmpty }) ?? false { hasNamed = true }
            Self.append(value, to: &key)
        }
        for line in head.fields.lines where line.id == .authorization || line.id == .cookie && rule.variables.isEmpty {
            if line.id == .authorization { hasNamed = true }
            Self.append(head.copy(line.value), to: &key)
        }
        guard hasNamed else { return nil }
        key.append(0)
        if !rule.isExact {
            for variable in [.requestMethod, .requestURL, .clientIP] + path.variables + (host?.variables ?? []) {
                Self.append(context.value(of: variable), to: &key)
            }
            for field in sent { for variable in field.value.variables { Self.append(context.value(of: variable), to: &key) } }
        }
        return key.count <= keyBytesMax ? key : nil
    }

    /// Each value with its length, so that no two lists of values make one key.
    private static func append(_ value: [UInt8]?, to key: inout [UInt8]) {
        guard let value else { return key.append(0xFF) }
        key.append(decimal: value.count)
        key.append(UInt8(ascii: ":"))
        key += value
    }
}

private let keyBytesMax = 8_192
