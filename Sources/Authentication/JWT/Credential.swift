import Bytes
import HTTPMessage

/// The value of an Authorization field. Source: RFC 9110 §11.4.
package enum Credential {
    /// Whether the value is one credential of a scheme that carries no access token, such as Basic, and nothing besides.
    ///
    /// Some frameworks look for `Bearer` behind any comma; so what is not exactly a scheme with a token, or with parameters, is refused here,
    /// and what names another scheme anywhere.
    package static func isForeign(_ value: Span<UInt8>) -> Bool {
        // What most requests have.
        if value.count > 6, !ASCII.isToken(value[6]), value.extracting(0..<6).equalsIgnoringCase("bearer") { return false }
        var index = 0
        while index < value.count, ASCII.isToken(value[index]) { index += 1 }
        let scheme = value.extracting(0..<index)
        guard !scheme.isEmpty, !carriesToken(scheme), !mentionsToken(value.extracting(index..<value.count)) else { return false }
        guard index < value.count else { return true }
        guard value[index] == 0x20 else { return false }
        while index < value.count, value[index] == 0x20 { index += 1 }
        let rest = value.extracting(index..<value.count)
        return isToken68(rest) || areParameters(rest)
    }

    private static func carriesToken(_ scheme: Span<UInt8>) -> Bool {
        scheme.equalsIgnoringCase("bearer") || scheme.equalsIgnoringCase("dpop")
    }

    private static func mentionsToken(_ rest: Span<UInt8>) -> Bool {
        for name in ["bearer", "dpop"] {
            let length = name.utf8.count
            var start = 0
            while start + length < rest.count {
                if rest.extracting(start..<start + length).equalsIgnoringCase(name), rest[start + length] <= 0x20 { return true }
                start += 1
            }
        }
        return false
    }

    /// `token68`: base64 of any alphabet, with its padding.
    private static func isToken68(_ text: Span<UInt8>) -> Bool {
        var end = text.count
        while end > 0, text[end - 1] == 0x3D { end -= 1 }
        guard end > 0 else { return false }
        for index in 0..<end where !ASCII.isUnreserved(text[index]) && text[index] != 0x2B && text[index] != 0x2F { return false }
        return true
    }

    private static func skipSpace(_ text: Span<UInt8>, _ index: inout Int) {
        while index < text.count, text[index] == 0x20 || text[index] == 0x09 { index += 1 }
    }

    /// `name=value, name="value"`; a value without quotes may be more than a token, as in the signatures of S3.
    private static func areParameters(_ text: Span<UInt8>) -> Bool {
        var index = 0
        while true {
            let start = index
            while index < text.count, ASCII.isToken(text[index]) { index += 1 }
            guard index > start else { return false }
            skipSpace(text, &index)
            guard index < text.count, text[index] == 0x3D else { return false }
            index += 1
            skipSpace(text, &index)
            guard index < text.count else { return false }
            if text[index] == 0x22 {
                index += 1
                while index < text.count, text[index] != 0x22 { index += text[index] == 0x5C ? 2 : 1 }
                guard index < text.count else { return false }
                index += 1
            } else {
                let valueStart = index
                while index < text.count, text[index] > 0x20, text[index] < 0x7F, text[index] != 0x2C, text[index] != 0x22 { index += 1 }
                guard index > valueStart else { return false }
            }
            skipSpace(text, &index)
            guard index < text.count else { return true }
            guard text[index] == 0x2C else { return false }
            index += 1
            skipSpace(text, &index)
        }
    }
}

/// `Basic base64(user:password)`. Source: RFC 7617 §2.
package enum BasicCredential {
    /// User and password; nil for a value of another scheme or form.
    package static func read(_ value: Span<UInt8>) -> (user: [UInt8], password: [UInt8])? {
        guard value.count > 6, value.count <= Limits.tokenBytesMax * 2, isBasic(value) else { return nil }
        let encoded = value.extracting(value.trimmed(6..<value.count))
        guard let plain = Base64.decode(encoded), let colon = plain.firstIndex(of: 0x3A) else { return nil }
        return (Array(plain[..<colon]), Array(plain[(colon + 1)...]))
    }

    package static func isBasic(_ value: Span<UInt8>) -> Bool {
        value.count > 5 && value.extracting(0..<5).equalsIgnoringCase("basic") && value[5] == 0x20
    }

    /// Whether the password of a value has the form of a token.
    package static func carriesToken(_ value: Span<UInt8>) -> Bool {
        guard let (_, password) = read(value) else { return false }
        return (try? CompactJWS(password.span)) != nil
    }
}
