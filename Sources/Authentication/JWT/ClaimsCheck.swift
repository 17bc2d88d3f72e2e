/// The checks of what a token says. Its signature was checked before, or, where a request is only explained, is not asked for.
struct ClaimsCheck {
    let issuers: [Issuer]
    let requirements: any RequirementAnswering

    /// - Parameters:
    ///   - issuer: index of the issuer that the claims name.
    ///   - now: seconds since 1970.
    ///   - share: what the subject has under way.
    func verified(
        _ claims: Claims, of token: [UInt8], issuer index: Int, keyID: String?, at now: UInt64, share: (String?) -> SubjectShare
    ) throws(TokenError) -> VerifiedToken {
        let issuer = issuers[index]
        let refusedFrom = try issuer.check(claims, at: now)
        let subject = issuer.subjectClaims.lazy.compactMap { claims[$0]?.string }.first
        return VerifiedToken(
            token: token, issuer: index, claims: claims, subject: subject, keyID: keyID, refusedFrom: refusedFrom,
            answers: requirements.answers(for: claims, issuer: index), share: share(subject))
    }
}
