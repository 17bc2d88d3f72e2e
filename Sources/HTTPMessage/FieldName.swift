import Bytes

/// The fields that the gateway itself reads, sets or strips. Every other name is `other`, told apart by its bytes.
package enum FieldName: UInt8, CaseIterable, Sendable {
    case other
    case accept, authorization, connection, contentLength, cookie, expect, forwarded, host, keepAlive, proxyAuthenticate
    case proxyAuthorization, proxyConnection, te, trailer, transferEncoding, upgrade, userAgent
    case xForwardedFor, xForwardedHost, xForwardedPort, xForwardedProto, xRequestID, xRealIP
    case secFetchMode, server, date, http2Settings, setCookie, contentType, xForwardedPrefix
    case origin, secFetchSite, location, contentLocation, refresh

    package init(_ name: Span<UInt8>) {
        let candidate = Self.candidate(name)
        let text = Self.texts[Int(candidate.rawValue)]
        self = candidate != .other && name.equalsIgnoringCase(text.span) ? candidate : .other
    }

    /// By raw value.
    private static let texts: [[UInt8]] = allCases.map { [UInt8]($0.text) }

    // Written out, because what the language derives is called through a table of its own from other modules.
    package static func == (left: FieldName, right: FieldName) -> Bool { left.rawValue == right.rawValue }

    /// The one name of this length that begins, or where several do ends, as `name` does.
    private static func candidate(_ name: Span<UInt8>) -> FieldName {
        let count = name.count
        guard count > 1 else { return .other }
        let first = name[0] | 0x20
        switch (count, first) {
        case (2, _): return .te
        case (4, UInt8(ascii: "d")): return .date
        case (4, _): return .host
        case (6, UInt8(ascii: "a")): return .accept
        case (6, UInt8(ascii: "c")): return .cookie
        case (6, UInt8(ascii: "e")): return .expect
        case (6, UInt8(ascii: "o")): return .origin
        case (6, _): return .server
        case (7, UInt8(ascii: "r")): return .refresh
        case (7, UInt8(ascii: "t")): return .trailer
        case (7, _): return .upgrade
        case (8, _): return .location
        case (9, UInt8(ascii: "f")): return .forwarded
        case (9, _): return .xRealIP
        case (10, UInt8(ascii: "c")): return .connection
        case (10, UInt8(ascii: "k")): return .keepAlive
        case (10, UInt8(ascii: "s")): return .setCookie
        case (10, _): return .userAgent
        case (12, UInt8(ascii: "c")): return .contentType
        case (12, _): return .xRequestID
        case (13, _): return .authorization
        case (14, UInt8(ascii: "c")): return .contentLength
        case (14, UInt8(ascii: "h")): return .http2Settings
        case (14, _): return name[10] | 0x20 == UInt8(ascii: "m") ? .secFetchMode : .secFetchSite
        case (15, _): return .xForwardedFor
        case (16, UInt8(ascii: "c")): return .contentLocation
        case (16, UInt8(ascii: "p")): return .proxyConnection
        case (16, _): return name[12] | 0x20 == UInt8(ascii: "p") ? .xForwardedPort : .xForwardedHost
        case (17, UInt8(ascii: "t")): return .transferEncoding
        case (17, _): return .xForwardedProto
        case (18, UInt8(ascii: "x")): return .xForwardedPrefix
        case (18, _): return .proxyAuthenticate
        case (19, _): return .proxyAuthorization
        default: return .other
        }
    }

    /// In lower case.
    package var text: String {
        switch self {
        case .other: ""
        case .accept: "accept"
        case .authorization: "authorization"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .contentLocation: "content-location"
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
        case .location: "location"
        case .origin: "origin"
        case .refresh: "refresh"
        case .secFetchMode: "sec-fetch-mode"
        case .secFetchSite: "sec-fetch-site"
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
        case .xForwardedPrefix: "x-forwarded-prefix"
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
}

/// What a field name is to anyone who makes a variable of it: its letters and digits, without regard to case. Every other byte that a
/// name may hold is one separator.
///
/// CGI makes `X_USER_ID` of `X-User-Id`, and servers differ in what else they make `_` of: some `_` and `.`, lighttpd every
/// byte that is no letter or digit (RFC 3875 §4.1.18). Two names that are the same here may be the same to a service behind.
package enum FieldIdentity {
    @inlinable @inline(__always) package static func fold(_ byte: UInt8) -> UInt8 {
        let lower = byte | 0x20
        if lower &- UInt8(ascii: "a") < 26 { return lower }
        return byte &- 0x30 < 10 ? byte : 0x2D
    }

    package static func fold(_ name: Span<UInt8>) -> [UInt8] {
        var folded: [UInt8] = []
        for index in name.indices { folded.append(fold(name[index])) }
        return folded
    }

    package static func fold(_ name: String) -> [UInt8] { name.utf8.map(fold) }

    /// Whether a name is spelled as its identity is written: with hyphens alone between letters and digits.
    package static func isUsualSpelling(_ name: Span<UInt8>) -> Bool {
        for index in name.indices where fold(name[index]) == 0x2D && name[index] != 0x2D { return false }
        return true
    }
}
