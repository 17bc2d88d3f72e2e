@testable import Authentication
import Bytes
import Testing

/// What is found in the cache is let in unchecked: nothing but the very token may find an entry.
@Suite struct VerifiedTokenCacheTests {
    private static let body = String(repeating: "payload", count: 60)
    private static let ending = String(repeating: "s", count: 40)

    private func entry(_ token: String, until seconds: UInt64 = 1_000, issuer: Int = 0) -> Principal {
        Principal(
            .issuer(IssuerID(issuer)), subject: token, claims: Claims(.object([])), expiry: seconds, answers: RequirementAnswers(),
            token: [UInt8](token.utf8))
    }

    private func found(_ token: String, in cache: VerifiedTokenCache, at seconds: UInt64 = 0) -> String? {
        let bytes = [UInt8](token.utf8)
        return cache.find(bytes.span, at: seconds)?.subject
    }

    /// The hash is of the end alone, so that all of these have the same: the signature of one with the payload of another.
    @Test func anotherPayloadUnderTheSameEndIsNotFound() {
        let cache = VerifiedTokenCache(capacity: 16, hash: SipHash(key0: 1, key1: 2))
        let good = Self.body + Self.ending
        cache.insert(entry(good))
        #expect(found(good, in: cache) == good)
        for place in 0..<Self.body.utf8.count {
            var bytes = [UInt8](good.utf8)
            bytes[place] ^= 1
            #expect(found(String(decoding: bytes, as: UTF8.self), in: cache) == nil, "a change at \(place)")
        }
        #expect(found("x" + good, in: cache) == nil)
        #expect(found(String(good.dropFirst()), in: cache) == nil)
        let other = Self.body.replacing("payload", with: "PAYLOAD") + Self.ending
        cache.insert(entry(other))
        #expect(found(good, in: cache) == good)
        #expect(found(other, in: cache) == other)
    }

    @Test func anExpiredTokenIsNotFound() {
        let cache = VerifiedTokenCache(capacity: 16, hash: SipHash(key0: 1, key1: 2))
        cache.insert(entry("a-token", until: 1_000))
        #expect(found("a-token", in: cache, at: 999) == "a-token")
        #expect(found("a-token", in: cache, at: 1_000) == nil)
    }

    @Test func whatIsWithdrawnIsNotFound() {
        let cache = VerifiedTokenCache(capacity: 1_024, hash: SipHash(key0: 1, key1: 2))
        for number in 0..<100 { cache.insert(entry("token-\(number)", issuer: number % 2)) }
        cache.removeAll { $0.credential == .issuer(IssuerID(1)) }
        for number in 0..<100 {
            let isHeld = found("token-\(number)", in: cache) != nil
            if number % 2 == 1 { #expect(!isHeld) }
        }
        #expect(found("token-98", in: cache) == "token-98")
    }

    @Test func theOneThatExpiresFirstGivesWay() {
        let cache = VerifiedTokenCache(capacity: 4, hash: SipHash(key0: 1, key1: 2))
        for number in 1...5 { cache.insert(entry("token-\(number)", until: UInt64(number == 3 ? 10 : 100 + number))) }
        for number in 1...5 { #expect(found("token-\(number)", in: cache) == (number == 3 ? nil : "token-\(number)")) }
    }
}
