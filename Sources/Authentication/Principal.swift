/// Who a credential stands for: what the stages after authentication know of it, whatever its kind.
package final class Principal {
    /// Which of the file's credentials it holds.
    package let credential: CredentialID
    /// Its name, for logs and shares; nil where the credential gives none.
    package let subject: String?
    package let claims: Claims
    /// Seconds since 1970 from which on it is refused; the leeway is included.
    package let expiry: UInt64
    /// The answer to each scope requirement of the configuration, by its index.
    package let answers: RequirementAnswers
    /// What the subject has under way, with all of its credentials.
    package let share: SubjectShare
    /// The token that it brought, whose signature was checked; nil for a credential that is no token.
    package let token: [UInt8]?
    /// Of what holds until it is looked at again; far from now.
    static let noExpiry: UInt64 = 1 << 40
    private var renderedLines: [RenderedLines?] = []
    private var renderedKeys: [RenderedKey?] = []

    init(
        _ credential: CredentialID, subject: String?, claims: Claims, expiry: UInt64, answers: RequirementAnswers,
        share: SubjectShare = SubjectShare(), token: [UInt8]?
    ) {
        self.credential = credential
        self.subject = subject
        self.claims = claims
        self.expiry = expiry
        self.answers = answers
        self.share = share
        self.token = token
    }

    /// Header lines made of the claims alone, by the index of their template; nil before they were made.
    package func lines(_ index: Int) -> RenderedLines? { index < renderedLines.count ? renderedLines[index] : nil }

    package func keep(_ lines: RenderedLines, at index: Int) {
        var made = renderedLines
        renderedLines = []
        while made.count <= index { made.append(nil) }
        made[index] = lines
        renderedLines = made
    }

    /// What a limit counts this principal under, by the limit's index, where the claims alone decide that; nil before it was made.
    package func limitKey(_ index: Int) -> RenderedKey? { index < renderedKeys.count ? renderedKeys[index] : nil }

    /// Of that key the fingerprint alone, so that its bytes are not fetched.
    package func limitFingerprint(_ index: Int) -> UInt64? { index < renderedKeys.count ? renderedKeys[index]?.fingerprint : nil }

    package func keep(_ key: RenderedKey, at index: Int) {
        var made = renderedKeys
        renderedKeys = []
        while made.count <= index { made.append(nil) }
        made[index] = key
        renderedKeys = made
    }
}

/// The key of a limit: what its store calls it, empty without one, and its fingerprint in the table of the host.
package struct RenderedKey: Sendable {
    package let name: [UInt8]
    package let fingerprint: UInt64

    package init(name: [UInt8], fingerprint: UInt64) {
        self.name = name
        self.fingerprint = fingerprint
    }
}

/// Header lines that a claim's value was put into, or the header whose value no field can carry.
package enum RenderedLines: Sendable {
    case lines([UInt8])
    case unusable(header: String)
}
