package import Time

/// Why a request's credential, or the want of one, keeps it out.
package enum CredentialError: Error, Equatable, Sendable {
    case missing
    /// Two different tokens where there may be one.
    case ambiguous
    case tooLarge
    case malformed
    case encrypted
    case algorithmUnsupported
    case algorithmNotAllowed
    /// A header parameter that would let the token choose how it is checked.
    case forbiddenHeader(String)
    case typeUnsupported
    /// A claim that an access token has not: it is an ID token, a logout token or another kind.
    case notAccessToken(String)
    /// Bound to a key of its holder's, which is not checked here.
    case bound
    case issuerUnknown
    case issuerNotAccepted
    case keyUnknown
    case keyAmbiguous
    /// The issuer publishes the key, but it cannot be used; why.
    case keyUnusable(String)
    case signatureInvalid
    case expiryMissing
    case expired
    case notYetValid
    case issuedInFuture
    case audienceMismatch
    case claimMalformed(String)
    case claimUnmet(String)
    /// No key set of the issuer is loaded (503: not the client's fault).
    case keysUnavailable
    /// Too many of the client's tokens were no good; how long until the next is looked at.
    case tooManyFailures(Nanoseconds)

    /// Whether the token was made up, or is for nobody here: costs that its bearer caused, not a session that has ended.
    package var isForgery: Bool {
        switch self {
        case .missing, .notAccessToken, .bound, .expiryMissing, .expired, .notYetValid, .issuedInFuture, .audienceMismatch, .claimMalformed,
            .claimUnmet, .keysUnavailable, .tooManyFailures:
            false
        default: true
        }
    }

    /// A stable identifier.
    package var reason: String {
        switch self {
        case .missing: "token_missing"
        case .ambiguous: "token_ambiguous"
        case .tooLarge: "token_too_large"
        case .malformed: "token_malformed"
        case .encrypted: "token_encrypted"
        case .algorithmUnsupported: "token_algorithm_unsupported"
        case .algorithmNotAllowed: "token_algorithm_not_allowed"
        case .forbiddenHeader: "token_header_forbidden"
        case .typeUnsupported: "token_type_unsupported"
        case .notAccessToken: "token_not_access_token"
        case .bound: "token_bound"
        case .issuerUnknown: "token_issuer_unknown"
        case .issuerNotAccepted: "token_issuer_not_accepted"
        case .keyUnknown: "token_key_unknown"
        case .keyAmbiguous: "token_key_ambiguous"
        case .keyUnusable: "token_key_unusable"
        case .signatureInvalid: "token_signature_invalid"
        case .expiryMissing: "token_expiry_missing"
        case .expired: "token_expired"
        case .notYetValid: "token_not_yet_valid"
        case .issuedInFuture: "token_issued_in_future"
        case .audienceMismatch: "token_audience_mismatch"
        case .claimMalformed: "token_claim_malformed"
        case .claimUnmet: "token_claim_unmet"
        case .keysUnavailable: "keys_unavailable"
        case .tooManyFailures: "too_many_failed_tokens"
        }
    }

    /// A sentence for the client; shows nothing of the token.
    package var explanation: String {
        switch self {
        case .missing: "This resource needs an access token."
        case .ambiguous: "The request carries two different access tokens."
        case .tooLarge: "The access token is too large."
        case .malformed: "The access token is malformed."
        case .encrypted: "Encrypted access tokens are not accepted."
        case .algorithmUnsupported: "The access token is signed with an algorithm that is not supported."
        case .algorithmNotAllowed: "The access token is signed with an algorithm that its issuer may not use here."
        case .forbiddenHeader(let name): "The access token's header has a parameter that is not accepted: \(name)."
        case .typeUnsupported: "The token is not an access token."
        case .notAccessToken(let claim): "The token is not an access token: it has the claim \(claim)."
        case .bound: "The access token is bound to a key, and proofs of such keys are not checked here."
        case .issuerUnknown: "The access token's issuer is not known here."
        case .issuerNotAccepted: "The access token's issuer is not accepted for this resource."
        case .keyUnknown: "The access token is signed with a key that its issuer does not publish."
        case .keyAmbiguous: "The access token does not say which key it is signed with."
        case .keyUnusable(let cause): "The access token is signed with a key of its issuer that cannot be used: \(cause)."
        case .signatureInvalid: "The access token's signature is not valid."
        case .expiryMissing: "The access token does not say when it expires."
        case .expired: "The access token has expired."
        case .notYetValid: "The access token is not valid yet."
        case .issuedInFuture: "The access token was issued in the future."
        case .audienceMismatch: "The access token is meant for another audience."
        case .claimMalformed(let name): "The access token's claim \(name) is malformed."
        case .claimUnmet(let name): "The access token's claim \(name) is not the required one."
        case .tooManyFailures: "Too many access tokens of this client were not valid."
        case .keysUnavailable: "The keys to check the access token with are not available."
        }
    }
}
