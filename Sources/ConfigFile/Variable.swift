/// A variable of the language.
package enum Variable: Hashable, Sendable {
    case clientIP, requestID, requestMethod, requestHost, route
    /// Parts of the URL that was asked for; the path in its normal form, the query as it came and without its `?`.
    case requestScheme, requestPath, requestQuery
    /// The path with the query; the whole URL.
    case requestURI, requestURL
    case claim(String), path(String), header(String), cookie(String), query(String)

    package var isClaim: Bool { if case .claim = self { true } else { false } }

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
        + "$claim.NAME $path.NAME $query.NAME $header.NAME $cookie.NAME $route"
}
