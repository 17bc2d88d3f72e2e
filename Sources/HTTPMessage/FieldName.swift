import Bytes

/// The fields that the gateway itself reads, sets or strips. Every other name is `other`, told apart by its bytes.
package enum FieldName: UInt8, CaseIterable, Sendable {
    case other
    case accept, authorization, connection, contentLength, cookie, expect, forwarded, host, keepAlive, proxyAuthenticate
    case proxyAuthorization, proxyConnection, te, trailer, transferEncoding, upgrade, userAgent
    case xForwardedFor, xForwardedHost, xForwardedPort, xForwardedProto, xRequestID, xRealIP
    case secFetchMode, server, date, http2Settings, setCookie, contentType

    package init(_ name: Span<UInt8>) {
        let candidates: [FieldName] = name.count < Self.byLength.count ? Self.byLength[name.count] : []
        for candidate in candidates where name.equalsIgnoringCase(candidate.text) {
            self = candidate
            return
        }
        self = .other
    }

    /// In lower case.
    package var text: String {
        switch self {
        case .other: ""
        case .accept: "accept"
        case .authorization: "authorization"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .contentType: "content-type"
        case .cookie: "cookie"
        case .date: "date"
        case .expect: "expect"
        case .forwarded: "forwarded"
        case .host: "host"
        case .http2Settings: "http2-settings"
        case .keepAlive: "keep-alive"
        case .proxyAuthenticate: "proxy-authenticate"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyConnection: "proxy-connection"
        case .secFetchMode: "sec-fetch-mode"
        case .server: "server"
        case .setCookie: "set-cookie"
        case .te: "te"
        case .trailer: "trailer"
        case .transferEncoding: "transfer-encoding"
        case .upgrade: "upgrade"
        case .userAgent: "user-agent"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .xForwardedProto: "x-forwarded-proto"
        case .xRealIP: "x-real-ip"
        case .xRequestID: "x-request-id"
        }
    }

    /// Fields that speak of one connection and are never passed on (RFC 9110 §7.6.1). `Trailer` stays: the trailers do.
    package var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyAuthenticate, .proxyAuthorization, .proxyConnection, .te, .transferEncoding,
            .upgrade, .http2Settings:
            true
        default: false
        }
    }

    private static let byLength: [[FieldName]] = {
        var table = [[FieldName]](repeating: [], count: 20)
        for name in allCases where name != .other { table[name.text.utf8.count].append(name) }
        return table
    }()
}

/// Folds the spellings of a field name that a backend may take for the same variable (CGI makes `X_USER_ID` of all of
/// `X-User-Id`, `x_user_id` and `X.User.Id`): lower case, and `_` and `.` become `-`.
package enum FieldAlias {
    package static func fold(_ byte: UInt8) -> UInt8 {
        byte == 0x5F || byte == 0x2E ? 0x2D : ASCII.lowercased(byte)
    }

    package static func fold(_ name: Span<UInt8>) -> [UInt8] {
        var folded: [UInt8] = []
        for index in name.indices { folded.append(fold(name[index])) }
        return folded
    }

    package static func fold(_ name: String) -> [UInt8] { name.utf8.map(fold) }
}
