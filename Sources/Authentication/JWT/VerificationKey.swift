import Bytes
import COpenSSL

/// A public key that signatures are verified with.
///
/// With ``SharedSecret`` the only file that calls OpenSSL for signatures. Every call leaves OpenSSL's error queue empty.
@safe package final class VerificationKey {
    package let keyID: String?
    package let type: KeyType
    /// The algorithm that the key is meant for, if it says so; a longer hash is let through.
    package let algorithm: Algorithm?
    private let key: OpaquePointer

    private init(keyID: String?, type: KeyType, algorithm: Algorithm?, key: OpaquePointer) {
        self.keyID = keyID
        self.type = type
        self.algorithm = algorithm
        unsafe self.key = key
    }

    deinit { unsafe EVP_PKEY_free(key) }

    /// Why a published key cannot be used.
    package struct Unusable: Error {
        package let cause: String
    }

    /// Reads a JWK. Source: RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
    ///
    /// - Throws: why it is no key for verifying signatures of the supported algorithms.
    package static func read(_ jwk: JSONValue) throws(Unusable) -> VerificationKey {
        if let use = jwk["use"], use != .string("sig") { throw Unusable(cause: "its use is \(use.string ?? "no text"), not sig") }
        if let operations = jwk["key_ops"] {
            guard let names = operations.strings, names.contains("verify") || names.contains("sign") else {
                throw Unusable(cause: "its key_ops do not have verify")
            }
        }
        var keyID: String?
        if let kid = jwk["kid"] {
            guard let text = kid.string else { throw Unusable(cause: "its kid is no text") }
            keyID = text
        }
        var algorithm: Algorithm?
        if let alg = jwk["alg"] {
            // ES521 is no algorithm, but stands in published keys on P-521 where ES512 is meant.
            guard let text = alg.string, let known = Algorithm(text == "ES521" ? "ES512" : text) else {
                throw Unusable(cause: "its alg is \(alg.string ?? "no text"), which is not supported")
            }
            algorithm = known
        }
        guard let (type, key) = unsafe publicKey(jwk) else { throw Unusable(cause: whatIsWrong(jwk)) }
        guard algorithm == nil || algorithm?.keyType == type else {
            unsafe EVP_PKEY_free(key)
            throw Unusable(cause: "its alg \(algorithm?.name ?? "") is not for keys of its type")
        }
        return unsafe VerificationKey(keyID: keyID, type: type, algorithm: algorithm, key: key)
    }

    private static func whatIsWrong(_ jwk: JSONValue) -> String {
        let (type, curve) = (jwk["kty"]?.string ?? "missing", jwk["crv"]?.string)
        switch (type, curve) {
        case ("RSA", _): return "its n and e are no RSA key of 2048 to 8192 bits"
        case ("EC", "P-256"), ("EC", "P-384"), ("EC", "P-521"): return "its x and y are no point on \(curve ?? "")"
        case ("OKP", "Ed25519"): return "its x is no Ed25519 key"
        default: return "its kty is \(type)\(curve.map { " with crv \($0)" } ?? ""), which is not supported"
        }
    }

    /// Whether both are the same public key, whatever they are called.
    func isSameKey(as other: VerificationKey) -> Bool {
        // SAFETY: both keys live as long as their objects.
        let isSame = unsafe self === other || EVP_PKEY_eq(key, other.key) == 1
        ERR_clear_error()
        return isSame
    }

    package func fits(_ algorithm: Algorithm) -> Bool {
        type == algorithm.keyType && (self.algorithm.map(algorithm.isAtLeast) ?? true)
    }

    /// Whether `signature` is this key's over `signed`.
    package func verify(_ signature: [UInt8], over signed: Span<UInt8>, with algorithm: Algorithm) -> Bool {
        guard fits(algorithm), let encoded = Self.encoded(signature, for: algorithm) else { return false }
        // SAFETY: the context is freed on every way out; key and digest live as long as this object and the library.
        let context = unsafe EVP_MD_CTX_new()
        defer {
            unsafe EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        var parameters: OpaquePointer?
        guard unsafe EVP_DigestVerifyInit(context, &parameters, Self.digest(algorithm), nil, key) == 1 else { return false }
        if algorithm.isPSS, unsafe pc_rsa_padding_pss(parameters) != 1 { return false }
        return unsafe encoded.withUnsafeBufferPointer { encoded in
            unsafe signed.withUnsafeBufferPointer { signed in
                unsafe EVP_DigestVerify(context, encoded.baseAddress, encoded.count, signed.baseAddress, signed.count) == 1
            }
        }
    }

    private static func digest(_ algorithm: Algorithm) -> OpaquePointer? {
        switch algorithm {
        case .rs256, .ps256, .es256: unsafe EVP_sha256()
        case .rs384, .ps384, .es384: unsafe EVP_sha384()
        case .rs512, .ps512, .es512: unsafe EVP_sha512()
        case .edDSA, .hs256, .hs384, .hs512: nil
        }
    }

    /// The signature in OpenSSL's form: ECDSA's pair of numbers becomes DER (RFC 7518 §3.4), all else stays.
    private static func encoded(_ signature: [UInt8], for algorithm: Algorithm) -> [UInt8]? {
        let half: Int
        switch algorithm {
        case .es256: half = 32
        case .es384: half = 48
        case .es512: half = 66
        case .edDSA: return signature.count == 64 ? signature : nil
        default: return signature
        }
        guard signature.count == half * 2 else { return nil }
        let numbers = derInteger(signature[..<half]) + derInteger(signature[half...])
        // A sequence (X.690 §8.9); longer than 127 bytes only for P-521.
        return (numbers.count < 128 ? [0x30, UInt8(numbers.count)] : [0x30, 0x81, UInt8(numbers.count)]) + numbers
    }

    /// An unsigned number as a DER INTEGER (X.690 §8.3): no leading zeros, but one before a set high bit.
    private static func derInteger(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var digits = Array(bytes.drop { $0 == 0 })
        if digits.first.map({ $0 & 0x80 != 0 }) ?? true { digits.insert(0, at: 0) }
        return [0x02, UInt8(digits.count)] + digits
    }

    private static func publicKey(_ jwk: JSONValue) -> (KeyType, OpaquePointer)? {
        switch (jwk["kty"]?.string, jwk["crv"]?.string) {
        case ("RSA", nil):
            guard let modulus = bytes(jwk, "n"), let exponent = bytes(jwk, "e"), let key = unsafe rsa(modulus, exponent) else { return nil }
            return unsafe (.rsa, key)
        case ("EC", "P-256"): return unsafe curve(jwk, 256, 32).map { unsafe (.p256, $0) }
        case ("EC", "P-384"): return unsafe curve(jwk, 384, 48).map { unsafe (.p384, $0) }
        case ("EC", "P-521"): return unsafe curve(jwk, 521, 66).map { unsafe (.p521, $0) }
        case ("OKP", "Ed25519"):
            guard let x = bytes(jwk, "x"), x.count == 32 else { return nil }
            // SAFETY: the array is lent for the call, which copies it.
            let key = unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, x, x.count)
            ERR_clear_error()
            return unsafe key.map { unsafe (.ed25519, $0) }
        default: return nil
        }
    }

    private static func bytes(_ jwk: JSONValue, _ name: String) -> [UInt8]? {
        jwk[name]?.string.flatMap { Base64URL.decode($0) }
    }

    /// At least 2048 and at most 8192 bits (RFC 7518 §3.3), an odd exponent above 1 of at most 64 bits.
    private static func rsa(_ modulus: [UInt8], _ exponent: [UInt8]) -> OpaquePointer? {
        let n = Array(modulus.drop { $0 == 0 })
        let e = Array(exponent.drop { $0 == 0 })
        guard n.count >= 256, n.count <= 1024, !e.isEmpty, e.count <= 8, e[e.count - 1] & 1 == 1, e != [1],
            !WeakRSAKey.isOfROCA(n)
        else { return nil }
        // SAFETY: numbers and builder are freed below; the builder copies the numbers.
        let builder = unsafe OSSL_PARAM_BLD_new()
        let modulusNumber = unsafe pc_BN_from_bytes(n, Int32(n.count))
        let exponentNumber = unsafe pc_BN_from_bytes(e, Int32(e.count))
        defer {
            unsafe OSSL_PARAM_BLD_free(builder)
            unsafe BN_free(modulusNumber)
            unsafe BN_free(exponentNumber)
        }
        guard unsafe pc_push_rsa(builder, modulusNumber, exponentNumber) == 1 else { return nil }
        return unsafe make("RSA", builder)
    }

    private static func curve(_ jwk: JSONValue, _ bits: Int32, _ size: Int) -> OpaquePointer? {
        guard let x = bytes(jwk, "x"), let y = bytes(jwk, "y"), x.count == size, y.count == size else { return nil }
        let point = [0x04] + x + y
        // SAFETY: the builder is freed below; what is pushed is copied when parameters are made of it, while `point` is lent.
        let builder = unsafe OSSL_PARAM_BLD_new()
        defer { unsafe OSSL_PARAM_BLD_free(builder) }
        return unsafe point.withUnsafeBufferPointer { point in
            guard unsafe pc_push_point(builder, bits, point.baseAddress, point.count) == 1 else { return nil }
            return unsafe make("EC", builder)
        }
    }

    /// Makes a public key of parameters, and checks of one on a curve that its point lies there.
    ///
    /// OpenSSL's check of an RSA key tests its modulus for primes: 20 ms for 4096 bits, on a worker's loop. Size, parity and
    /// the mark of a broken generator are looked at here instead.
    private static func make(_ kind: String, _ builder: OpaquePointer?) -> OpaquePointer? {
        // SAFETY: everything made here is freed here, but for the key that is returned with one reference.
        let parameters = unsafe OSSL_PARAM_BLD_to_param(builder)
        let context = unsafe EVP_PKEY_CTX_new_from_name(nil, kind, nil)
        defer {
            unsafe OSSL_PARAM_free(parameters)
            unsafe EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        var key: OpaquePointer?
        guard unsafe EVP_PKEY_fromdata_init(context) == 1,
            unsafe EVP_PKEY_fromdata(context, &key, pc_public_key_selection, parameters) == 1, let key = unsafe key
        else { return nil }
        if kind == "RSA" { return unsafe key }
        let check = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
        defer { unsafe EVP_PKEY_CTX_free(check) }
        guard unsafe EVP_PKEY_public_check(check) == 1 else {
            unsafe EVP_PKEY_free(key)
            return nil
        }
        return unsafe key
    }
}

/// Keys of a generator whose private halves can be worked out from the public ones.
private enum WeakRSAKey {
    /// Whether the modulus has the mark of CVE-2017-15361 ("ROCA"): modulo every small prime it is a power of 65537.
    static func isOfROCA(_ modulus: [UInt8]) -> Bool {
        primes.allSatisfy { prime in
            let residue = modulus.reduce(0) { ($0 << 8 | Int($1)) % prime }
            var power = 1
            for _ in 0..<prime {
                if power == residue { return true }
                power = power * 65_537 % prime
            }
            return false
        }
    }

    private static let primes = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
        137, 139, 149, 151, 157, 163, 167,
    ]
}
