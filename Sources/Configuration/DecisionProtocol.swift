/// In whose words a proxy that stays in front asks for decisions: `listen … { decisions nginx; }`.
package enum DecisionProtocol: String, Sendable {
    /// `auth_request`: X-Original-Method and X-Original-URI; 2xx lets in, 401 and 403 refuse, everything else is an error there.
    case nginx
    /// Traefik's `forwardAuth`, Caddy's `forward_auth`: X-Forwarded-Method and X-Forwarded-Uri; what is no 2xx goes to the client as it is.
    case traefik
    /// `ext_authz` over HTTP: method, path and fields are the request's own.
    case envoy

    /// The fields that tell the method and the target that are asked for; nil where they are the question's own.
    package var originalFields: (method: String, target: String)? {
        switch self {
        case .nginx: ("x-original-method", "x-original-uri")
        case .traefik: ("x-forwarded-method", "x-forwarded-uri")
        case .envoy: nil
        }
    }
}
