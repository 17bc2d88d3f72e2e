/// The checks of what a token says. Its signature was checked before, or, where a request is only explained, is not asked for.
struct ClaimsCheck {
    let issuers: [Issuer]
    let requirements: any RequirementAnswering

    /// - Parameters:
    ///   - issuer: the one that the claims name.
    ///   - token: empty where claims stand for one.
    ///   - now: seconds since 1970.
    ///   - share: what a subject has under way.
    func principal(
        _ claims: Claims, issuer id: IssuerID, token: [UInt8]?, at now: UInt64, share: (String?) -> SubjectShare
    ) throws(CredentialError) -> Principal {
        let issuer = issuers[id.index]
        let expiry = try issuer.check(claims, at: now)
        let subject = issuer.subjectClaims.lazy.compactMap { claims[$0]?.string }.first
        return Principal(
            .issuer(id), subject: subject, claims: claims, expiry: expiry, answers: requirements.answers(for: claims, of: .issuer(id)),
            share: share(subject), token: token)
    }
}
