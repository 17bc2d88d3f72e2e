import Authentication
import Bytes
package import ConfigFile
import Routing
import System

/// A key as an operator names it, and as operators are told of it.
extension Limit {
    /// Variables of the key, in order: each is a word of an operator's.
    package var keyVariables: [Variable] { key.flatMap(\.variables) }

    /// Appends the key that a request with these values has: the same bytes as ``renderKey(_:in:into:)``.
    ///
    /// - Parameter words: one for each of ``keyVariables``. `[a,b]` is a claim that is a list; `~ADDRESS` stands for no value, in whose place the client's
    ///   address is counted.
    /// - Returns: what is wrong with them; nil for nothing.
    package func renderKey(ofWords words: [String], into output: inout [UInt8]) -> String? {
        let names = keyVariables.map(\.name)
        guard words.count == names.count else {
            return
                "the key of \(name) is \(names.joined(separator: " ")): \(names.count == 1 ? "one value is" : "\(names.count) values are") needed"
        }
        var left = words[...]
        beginKey(&output)
        for template in key {
            output.append(0x3A)
            let start = output.count
            if let error = Self.append(template, { _ in left.removeFirst() }, to: &output) { return error }
            Self.endPart(from: start, &output)
        }
        return nil
    }

    /// As ``tag(_:in:)`` for a request with these values, of which a key could be made.
    package func tag(ofWords words: [String]) -> [UInt8]? {
        guard let together else { return nil }
        var bytes: [UInt8] = []
        let variables = keyVariables
        _ = Self.append(together, { variable in variables.firstIndex(of: variable).map { words[$0] } ?? "" }, to: &bytes)
        return bytes
    }

    /// - Returns: what is wrong with a word; nil for nothing.
    private static func append(_ template: Template, _ word: (Variable) -> String, to output: inout [UInt8]) -> String? {
        for part in template.parts {
            guard case .variable(let variable) = part else {
                if case .text(let text) = part { output.append(text) }
                continue
            }
            let word = word(variable)
            if word.hasPrefix("~"), variable != .clientIP {
                appendMissing(Array(word.dropFirst().utf8), to: &output)
            } else if variable == .clientIP {
                guard let address = IPAddress(word) else { return "'\(word)' is no address" }
                output.append(ofValue)
                appendNetwork(Array(address.text.utf8), to: &output)
            } else if variable.isClaim, word.hasPrefix("["), word.hasSuffix("]") {
                append(list: word.dropFirst().dropLast().split(separator: ",").map(String.init), to: &output)
            } else {
                output.append(ofValue)
                output.append(word)
            }
        }
        return nil
    }

    /// What operators see of a request's key: its values; of one in which a secret may stand a hash, that they cannot make a key of.
    func keyText(_ identity: Identity?, in context: RequestContext, _ fingerprint: UInt64) -> String {
        if hasSecretKey {
            var text: [UInt8] = []
            text.append(hexadecimal: fingerprint, digits: 16)
            return "hash " + String(decoding: text, as: UTF8.self)
        }
        let values = keyVariables.map { variable in
            if case .claim(let name) = variable {
                guard let claims = identity?.principal.claims, let texts = claims.texts(name), !texts.isEmpty else {
                    return "~" + String(decoding: context.clientIP, as: UTF8.self)
                }
                return claims.isArray(name) ? "[" + texts.joined(separator: ",") + "]" : texts[0]
            }
            if variable == .clientIP { return String(decoding: context.clientIP, as: UTF8.self) }
            return context.value(of: variable).map { String(decoding: $0, as: UTF8.self) } ?? "~"
                + String(decoding: context.clientIP, as: UTF8.self)
        }
        let text = values.joined(separator: " ")
        return String(decoding: text.utf8.prefix(keyTextMax).map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }, as: UTF8.self)
    }
}

private let keyTextMax = 128
