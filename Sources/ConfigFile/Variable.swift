/// A variable of the language.
package enum Variable: Hashable, Sendable {
    case clientIP, requestID, requestMethod, requestHost, route
    /// Parts of the URL that was asked for; the path in its normal form, the query as it came and without its `?`.
    case requestScheme, requestPath, requestQuery
    /// The path with the query; the whole URL.
    case requestURI, requestURL
    /// The payload of the token that let the request in, as it stands in it: Base64url.
    case tokenPayload
    /// The limits in `shadow` that would have refused the request.
    case limitsExceeded
    case claim(String), path(String), header(String), cookie(String), query(String)

    /// Whether only who asks decides its value.
    package var isClaim: Bool {
        switch self {
        case .claim, .tokenPayload: true
        default: false
        }
    }

    /// The variable that a name without its `$` stands for.
    package init?(_ name: String) {
        switch name {
        case "client.ip": self = .clientIP
        case "request.id": self = .requestID
        case "request.method": self = .requestMethod
        case "request.host": self = .requestHost
        case "request.scheme": self = .requestScheme
        case "request.path": self = .requestPath
        case "request.query": self = .requestQuery
        case "request.uri": self = .requestURI
        case "request.url": self = .requestURL
        case "token.payload": self = .tokenPayload
        case "limits.exceeded": self = .limitsExceeded
        case "route": self = .route
        default:
            guard let dot = name.firstIndex(of: ".") else { return nil }
            let member = String(name[name.index(after: dot)...])
            guard !member.isEmpty else { return nil }
            switch name[..<dot] {
            case "claim": self = .claim(member)
            case "path": self = .path(member)
            case "header": self = .header(member)
            case "cookie": self = .cookie(member)
            case "query": self = .query(member)
            default: return nil
            }
        }
    }

    package var name: String {
        switch self {
        case .clientIP: "$client.ip"
        case .requestID: "$request.id"
        case .requestMethod: "$request.method"
        case .requestHost: "$request.host"
        case .requestScheme: "$request.scheme"
        case .requestPath: "$request.path"
        case .requestQuery: "$request.query"
        case .requestURI: "$request.uri"
        case .requestURL: "$request.url"
        case .tokenPayload: "$token.payload"
        case .limitsExceeded: "$limits.exceeded"
        case .route: "$route"
        case .claim(let name): "$claim.\(name)"
        case .path(let name): "$path.\(name)"
        case .header(let name): "$header.\(name)"
        case .cookie(let name): "$cookie.\(name)"
        case .query(let name): "$query.\(name)"
        }
    }

    /// What to write in place of a word that is no variable.
    package static func advice(_ word: String) -> String {
        NginxWords.variable(String(word.drop { $0 == "$" })) ?? "the variables are \(known)"
    }

    package static let known =
        "$client.ip $request.id $request.method $request.url $request.scheme $request.host $request.uri $request.path $request.query "
        + "$claim.NAME $token.payload $path.NAME $query.NAME $header.NAME $cookie.NAME $route $limits.exceeded"
}
