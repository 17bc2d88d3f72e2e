import Bytes
package import HTTPMessage

/// How the end of a body is told.
package enum BodyFraming: Equatable, Sendable {
    case none
    case length(UInt64)
    case chunked
    /// Until the connection closes; answers only.
    case close
}

extension BodyFraming {
    // Written out, as for FieldName.
    package static func == (left: BodyFraming, right: BodyFraming) -> Bool {
        switch (left, right) {
        case (.none, .none), (.chunked, .chunked), (.close, .close): true
        case (.length(let one), .length(let other)): one == other
        default: false
        }
    }

    /// Whether nothing follows the head.
    package var isEmpty: Bool {
        switch self {
        case .none, .length(0): true
        case .length, .chunked, .close: false
        }
    }

    /// The framing of a request's body. Source: RFC 9112 §6.3; what that leaves to choice is refused.
    static func of(_ head: borrowing RequestHead) throws(MessageError) -> BodyFraming {
        let declared = try declared(head.fields, head.bytes, version: head.version)
        return declared ?? .none
    }

    /// The framing of a response's body.
    ///
    /// - Parameter method: of the request that is answered.
    package static func of(_ head: borrowing ResponseHead, to method: Method) throws(MessageError) -> BodyFraming {
        let declared = try declared(head.fields, head.bytes, version: head.version)
        if method == .head || head.status == 204 || head.status == 304 || head.status < 200 { return .none }
        return declared ?? .close
    }

    private static func declared(
        _ fields: borrowing FieldTable, _ bytes: Span<UInt8>, version: HTTPVersion
    ) throws(MessageError) -> BodyFraming? {
        guard fields.has(.contentLength) || fields.has(.transferEncoding) else { return nil }
        var length: UInt64?
        var isChunked = false
        for line in fields.lines {
            switch line.id {
            case .contentLength:
                guard length == nil else { throw .repeatedContentLength }
                guard let value = bytes.extracting(line.value.range).decimal(max: UInt64(Int64.max)) else { throw .badContentLength }
                length = value
            case .transferEncoding:
                guard version == .http11 else { throw .codingInHTTP10 }
                guard !isChunked, bytes.extracting(line.value.range).equalsIgnoringCase("chunked") else { throw .unknownCoding }
                isChunked = true
            default: break
            }
        }
        if isChunked {
            guard length == nil else { throw .lengthWithCoding }
            return .chunked
        }
        return length.map { .length($0) }
    }
}

extension ConnectionOptions {
    fileprivate func checkCount() throws(MessageError) {
        guard count <= Limits.connectionOptionsMax else { throw .tooManyConnectionOptions }
    }

    /// Whether the connection stays open, by the word of one side. Source: RFC 9112 §9.3.
    fileprivate func keeps(_ version: HTTPVersion) -> Bool { !saysClose && (version == .http11 || saysKeepAlive) }
}

/// A host that a head names, and where.
package struct NamedHost: Sendable {
    package let place: ByteRange
    package let authority: Authority

    /// Nil where no ``Authority`` stands.
    package init?(_ place: ByteRange, in bytes: Span<UInt8>) {
        guard let authority = Authority(bytes.extracting(place.range)) else { return nil }
        self.place = place
        self.authority = authority
    }
}

/// What a request's head says of its own delivery, and not of what is asked.
package struct RequestEnvelope {
    package enum Expectation: Sendable {
        case none, unknown
        /// The client waits for leave to send its body. Source: RFC 9110 §10.1.1.
        case leaveToSend
    }

    package let framing: BodyFraming
    /// The one Host field; nil in HTTP/1.0 without one. Source: RFC 9112 §3.2.
    package let host: NamedHost?
    /// Whether the connection stays open after this exchange, as far as the client says. Source: RFC 9112 §9.3.
    package let wantsKeepAlive: Bool
    package let expectation: Expectation
}

extension RequestHead {
    package func envelope() throws(MessageError) -> RequestEnvelope {
        let framing = try BodyFraming.of(self)
        // No client needs more options in Connection than these: each is compared with every field.
        try connection.checkCount()
        return RequestEnvelope(framing: framing, host: try host(), wantsKeepAlive: connection.keeps(version), expectation: expectation)
    }

    private func host() throws(MessageError) -> NamedHost? {
        var host: ByteRange?
        for line in fields.lines where line.id == .host {
            guard host == nil else { throw .repeatedHost }
            host = line.value
        }
        guard let host else {
            if version == .http11 { throw .missingHost }
            return nil
        }
        guard let named = NamedHost(host, in: bytes) else { throw .badHost }
        return named
    }

    private var expectation: RequestEnvelope.Expectation {
        guard let told = value(.expect) else { return .none }
        guard bytes.extracting(told).equalsIgnoringCase("100-continue") else { return .unknown }
        return version == .http11 ? .leaveToSend : .none
    }
}

extension ResponseHead {
    /// As for a request.
    package func checkConnectionOptions() throws(MessageError) { try connection.checkCount() }

    /// Whether the upstream lets its connection be used again.
    package var allowsReuse: Bool { connection.keeps(version) }
}
