/// The signature algorithms that are accepted. Those with a shared secret are for issuers that have one, and no others are for them. Source:
/// RFC 7518 §3.1, RFC 8037, RFC 9864.
package enum Algorithm: UInt8, CaseIterable, Sendable {
    case rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, edDSA, hs256, hs384, hs512

    /// Reads an `alg` value; besides the registered spellings the ones that issuers write for Ed25519.
    package init?(_ name: String) {
        switch name {
        case "RS256": self = .rs256
        case "RS384": self = .rs384
        case "RS512": self = .rs512
        case "PS256": self = .ps256
        case "PS384": self = .ps384
        case "PS512": self = .ps512
        case "ES256": self = .es256
        case "ES384": self = .es384
        case "ES512": self = .es512
        case "HS256": self = .hs256
        case "HS384": self = .hs384
        case "HS512": self = .hs512
        case "EdDSA", "EDDSA", "Ed25519", "ED25519": self = .edDSA
        default: return nil
        }
    }

    package var name: String {
        switch self {
        case .rs256: "RS256"
        case .rs384: "RS384"
        case .rs512: "RS512"
        case .ps256: "PS256"
        case .ps384: "PS384"
        case .ps512: "PS512"
        case .es256: "ES256"
        case .es384: "ES384"
        case .es512: "ES512"
        case .edDSA: "EdDSA"
        case .hs256: "HS256"
        case .hs384: "HS384"
        case .hs512: "HS512"
        }
    }

    /// The type of key that this algorithm is bound to.
    package var keyType: KeyType {
        switch self {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512: .rsa
        case .es256: .p256
        case .es384: .p384
        case .es512: .p521
        case .edDSA: .ed25519
        case .hs256, .hs384, .hs512: .secret
        }
    }

    /// Whether a key that says `other` may be used with this: the same, or with a longer hash (a key that says PS256 signs with
    /// PS384 in RFC 7520 §4.2); never with a shorter one.
    func isAtLeast(_ other: Algorithm) -> Bool { keyType == other.keyType && isPSS == other.isPSS && rawValue >= other.rawValue }

    var isPSS: Bool { self == .ps256 || self == .ps384 || self == .ps512 }
}

package enum KeyType: Sendable {
    case rsa, p256, p384, p521, ed25519
    /// Shared by all who sign and all who verify (RFC 7518 §3.2); no key set holds one.
    case secret
}
