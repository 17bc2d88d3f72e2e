import CLinux

/// A hash of a password as the C library's `crypt` makes it: bcrypt, SHA-512-crypt, SHA-256-crypt, yescrypt, and argon2 where it knows that.
package struct PasswordHash: Hashable, Sendable {
    private let text: String

    package enum Unusable: Error {
        /// The library does not know the method, or does not take it for safe.
        case method
        case malformed
    }

    package init(_ text: String) throws(Unusable) {
        // Traditional DES has no mark, and MD5 and SHA-1 can be tried a billion times a second.
        guard text.hasPrefix("$"), !["$1$", "$apr1$", "$md5", "$sha1", "$3$"].contains(where: { text.hasPrefix($0) }) else { throw .method }
        // SAFETY: the text is lent for the call.
        switch unsafe crypt_checksalt(text) {
        case CRYPT_SALT_OK, CRYPT_SALT_TOO_CHEAP: break
        // SHA-256-crypt is slow, if not the newest.
        case CRYPT_SALT_METHOD_LEGACY where text.hasPrefix("$5$"): break
        case CRYPT_SALT_INVALID: throw text.split(separator: "$").count < 3 ? .malformed : .method
        default: throw .method
        }
        self.text = text
    }

    /// Whether it is the password's. Takes as long as its cost says, a tenth of a second and more: not on a worker's loop.
    package func matches(_ password: [UInt8]) -> Bool {
        // What stands behind a null byte would not count.
        guard !password.contains(0), password.count < 512 else { return false }
        var data = crypt_data()
        let phrase = password.map { CChar(bitPattern: $0) } + [0]
        // SAFETY: phrase, setting and data are lent for the call; the result points into `data`, and is copied before it goes.
        let made: [UInt8]? = unsafe withUnsafeMutablePointer(to: &data) { data in
            guard let result = unsafe crypt_r(phrase, text, data) else { return nil }
            return unsafe Array(
                UnsafeBufferPointer(start: UnsafeRawPointer(result).assumingMemoryBound(to: UInt8.self), count: strlen(result)))
        }
        guard let made, made.count == text.utf8.count else { return false }
        var difference: UInt8 = 0
        for (own, other) in zip(made, text.utf8) { difference |= own ^ other }
        return difference == 0
    }
}
