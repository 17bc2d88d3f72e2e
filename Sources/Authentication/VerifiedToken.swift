/// A token that has passed every check of its issuer, as the cache keeps it.
package final class VerifiedToken {
    /// Index of the issuer among the configured ones.
    package let issuer: Int
    package let claims: Claims
    /// Who the token speaks of, for logs.
    package let subject: String?
    package let keyID: String?
    /// Seconds since 1970 from which on it is refused; the leeway is included.
    package let refusedFrom: UInt64
    /// The answer to each scope requirement of the configuration, by its index.
    package let answers: RequirementAnswers
    /// What the subject has under way, with all of its tokens.
    package let share: SubjectShare
    private var renderedLines: [RenderedLines?] = []
    private var renderedKeys: [RenderedKey?] = []
    package let token: [UInt8]

    init(
        token: [UInt8], issuer: Int, claims: Claims, subject: String?, keyID: String?, refusedFrom: UInt64, answers: RequirementAnswers,
        share: SubjectShare = SubjectShare()
    ) {
        self.token = token
        self.issuer = issuer
        self.claims = claims
        self.subject = subject
        self.keyID = keyID
        self.refusedFrom = refusedFrom
        self.answers = answers
        self.share = share
    }

    /// Header lines made of this token's claims alone, by the index of their template; nil before they were made.
    package func lines(_ index: Int) -> RenderedLines? { index < renderedLines.count ? renderedLines[index] : nil }

    package func keep(_ lines: RenderedLines, at index: Int) {
        var made = renderedLines
        renderedLines = []
        while made.count <= index { made.append(nil) }
        made[index] = lines
        renderedLines = made
    }

    /// What a limit counts this token under, by the limit's index, where the claims alone decide that; nil before it was made.
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

/// The key of a limit, and its fingerprint in the table of the host.
package struct RenderedKey: Sendable {
    package let bytes: [UInt8]
    package let fingerprint: UInt64

    package init(bytes: [UInt8], fingerprint: UInt64) {
        self.bytes = bytes
        self.fingerprint = fingerprint
    }
}

/// Header lines that a claim's value was put into, or the header whose value no field can carry.
package enum RenderedLines: Sendable {
    case lines([UInt8])
    case unusable(header: String)
}
