import Authentication
import ConfigFile
import HTTPMessage

extension Variable {
    /// Whether its value may be what a client proves its identity with.
    func isCredential(_ places: CredentialPlaces) -> Bool {
        switch self {
        case .cookie(let name): places.cookies.contains([UInt8](name.utf8))
        case .header(let name):
            // As fields are read: under every spelling.
            (["authorization", "proxy-authorization", "cookie"].map { [UInt8]($0.utf8) } + places.fields)
                .contains { FieldIdentity.fold($0.span) == FieldIdentity.fold(name) }
        case .query, .requestURI, .requestURL, .requestQuery: mayHoldQueryToken(places)
        default: false
        }
    }

    /// Whether a token may stand in it that came in the query.
    func mayHoldQueryToken(_ places: CredentialPlaces) -> Bool {
        switch self {
        case .query(let name): places.parameters.contains(name)
        case .requestURI, .requestURL, .requestQuery: !places.parameters.isEmpty
        default: false
        }
    }
}
