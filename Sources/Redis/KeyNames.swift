import Bytes
import TLS

/// What the keys of limits are called in a server: a prefix, eight characters for the limit, and a keyed hash of 128 bits of what is counted
/// together. No byte of a client's stands there, so that none chooses a key's length or, by braces, its slot in a cluster.
///
/// All gateways that share a server must have the same prefix and secret. Without a secret, who sees the keys can try which addresses stand behind
/// them: there are not so many.
package struct KeyNames: Sendable {
    private let prefix: [UInt8]
    private let first: SipHash
    private let second: SipHash

    /// - Parameter secret: nil for names that everybody could make.
    package init(prefix: String, secret: [UInt8]?) {
        // The digit is the version of what the values say: other versions of the gateway leave these keys alone.
        self.prefix = Array("\(prefix)2:".utf8)
        let digest = Digest.sha256(Array("portcullis keys".utf8) + (secret ?? []))
        func word(_ index: Int) -> UInt64 { digest[index * 8..<index * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        first = SipHash(key0: word(0), key1: word(1))
        second = SipHash(key0: word(2), key1: word(3))
    }

    /// Of all names, as an ACL has it.
    var pattern: String { String(decoding: prefix, as: UTF8.self) + "*" }

    /// - Parameter tag: what decides which server of several has the key; nil for the key itself. A hash of it stands in braces, by which a cluster goes.
    func name(ofKey key: [UInt8], limit: String, tag: [UInt8]? = nil) -> [UInt8] {
        let limit = Array(limit.utf8)
        var name = prefix
        name += Base64URL.encode(Array(Self.bytes(first.hash(limit.span)).prefix(6)))
        name.append(UInt8(ascii: ":"))
        if let tag { name += [UInt8(ascii: "{")] + hash(tag) + Array("}:".utf8) }
        name += hash(key)
        return name
    }

    /// The part of a name that decides which server has the key.
    static func placing(_ name: [UInt8]) -> ArraySlice<UInt8> {
        guard let open = name.firstIndex(of: UInt8(ascii: "{")), let close = name[(open + 1)...].firstIndex(of: UInt8(ascii: "}")),
            close > open + 1
        else { return name[...] }
        return name[(open + 1)..<close]
    }

    private func hash(_ bytes: [UInt8]) -> [UInt8] {
        Base64URL.encode(Self.bytes(first.hash(bytes.span)) + Self.bytes(second.hash(bytes.span)))
    }

    /// Under which hosts are counted.
    var membersName: [UInt8] { prefix + Array("members".utf8) }

    /// Under which operators write rates of plans.
    func ratesName(_ name: String) -> [UInt8] { prefix + Array("rates:\(name)".utf8) }

    /// What probes write to; where servers have different keys, one of them has one of these.
    func probeName(_ number: Int) -> [UInt8] { prefix + Array("probe:\(number)".utf8) }

    private static func bytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - $0 * 8)) } }
}
