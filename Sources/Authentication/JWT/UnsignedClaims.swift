import Bytes

/// Claims without a token, for commands that tell what the gateway would do with them (`explain`, `test`). No worker makes an identity so:
/// a tidy test holds that the data plane does not name this type.
package struct UnsignedClaims: Sendable {
    private var payload = JSONValue.object([])
    /// The names of claims that ``complete(for:at:)`` put in.
    package private(set) var added: [String] = []
    /// How the token would come.
    package var kind = CredentialKind.field
    /// What gives them, where that is an authorizer or a file of passwords; nil for those of a token.
    package var credential: CredentialID?
    /// Claims that are times, as seconds from the moment of the request.
    private var relativeTimes: [(name: String, seconds: Int64)] = []

    package init() {}

    /// Nil for what is no object.
    package init?(_ value: JSONValue) {
        guard case .object = value else { return nil }
        payload = value
    }

    package subscript(_ name: String) -> JSONValue? { Claims(payload)[name] }

    /// Sets a claim: by its name, or where that begins with a slash at its place among nested ones (JSON Pointer, RFC 6901).
    package mutating func set(_ name: String, _ value: JSONValue) { payload = payload.setting(Claims.path(name)[...], to: value) }

    /// Sets a claim to a moment so many seconds after that of the request.
    package mutating func set(_ name: String, secondsFromNow seconds: Int64) { relativeTimes.append((name, seconds)) }

    /// Puts in what every token of the issuer has and nobody cares to write down: `iss`, `exp` and `aud`, and the claims that the issuer's
    /// `require` names. What is there already stays.
    ///
    /// - Parameter now: seconds since 1970.
    package mutating func complete(for issuer: Issuer, at now: UInt64) {
        for (name, seconds) in relativeTimes { set(name, Self.time(now, seconds)) }
        relativeTimes = []
        add("iss", .string(issuer.url))
        add("exp", Self.time(now, 300))
        if let audience = issuer.audiences.first { add("aud", .string(audience)) }
        for rule in issuer.rules where rule.comparison == .isOneOf {
            if let value = rule.values.first { add(rule.claim, .string(value)) }
        }
    }

    private static func time(_ now: UInt64, _ seconds: Int64) -> JSONValue {
        let moment = seconds < 0 ? now - min(now, seconds.magnitude) : now.addingReportingOverflow(seconds.magnitude).partialValue
        return .number(JSONNumber(text: String(moment), value: Double(moment)))
    }

    private mutating func add(_ name: String, _ value: JSONValue) {
        guard self[name] == nil else { return }
        set(name, value)
        added.append(name)
    }

    /// The issuer that the claims name; nil where they name none.
    package func issuer(among issuers: [Issuer]) throws(CredentialError) -> IssuerID? {
        guard let value = self["iss"] else { return nil }
        guard let url = value.string else { throw .malformed }
        guard let index = issuers.firstIndex(where: { $0.url.isExactly(url) }) else { throw .issuerUnknown }
        return IssuerID(index)
    }

    /// What becomes of a token with these claims and a good signature, whichever route it comes to.
    package func checked(
        among issuers: [Issuer], _ authenticator: Authenticator, _ requirements: any RequirementAnswering, at now: UInt64
    ) -> CheckedClaims {
        switch credential {
        case .authorizer(let id):
            return CheckedClaims(
                credential: credential, principal: .success(authenticator.authorizers.principal(id, Claims(payload))), kind: kind)
        case .password(let id):
            return CheckedClaims(
                credential: credential, principal: .success(authenticator.passwords.principal(id, Claims(payload))), kind: .password)
        case .issuer, .network, nil: break
        }
        do {
            guard let index = try issuer(among: issuers) else { throw CredentialError.malformed }
            let check = ClaimsCheck(issuers: issuers, requirements: requirements)
            let principal: Result<Principal, CredentialError>
            do {
                principal = .success(
                    try check.principal(Claims(payload), issuer: index, token: [], at: now) { _ in SubjectShare() })
            } catch {
                principal = .failure(error)
            }
            return CheckedClaims(credential: .issuer(index), principal: principal, kind: kind)
        } catch let error as CredentialError {
            return CheckedClaims(credential: nil, principal: .failure(error), kind: kind)
        } catch {
            preconditionFailure("\(error)")
        }
    }
}

extension JSONValue {
    /// The same value with something else at a place among nested objects, which are made where they are not there.
    fileprivate func setting(_ path: ArraySlice<String>, to value: JSONValue) -> JSONValue {
        guard let name = path.first else { return value }
        var members: [Member] = []
        if case .object(let present) = self { members = present }
        let inner = self[name] ?? .object([])
        members.removeAll { $0.name.isExactly(name) }
        members.append(Member(name: name, value: inner.setting(path.dropFirst(), to: value)))
        return .object(members)
    }
}
