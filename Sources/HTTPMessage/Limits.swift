/// How large a request's head may be, as the file says.
package struct HeadLimits: Sendable {
    /// Of HTTP/1 all bytes; of HTTP/2 names and values after decoding, with 32 for each field (RFC 9113 §6.5.2).
    package var bytes: Int
    package var fields: Int
    package var targetBytes: Int
    /// Of a path.
    package var segments: Int

    package init(
        bytes: Int = Limits.requestHeadBytesMax, fields: Int = Limits.fieldCountMax, targetBytes: Int = Limits.targetBytesMax,
        segments: Int = Limits.pathSegmentsMax
    ) {
        self.bytes = bytes
        self.fields = fields
        self.targetBytes = targetBytes
        self.segments = segments
    }
}

/// Every bound on what a peer may send, in one place, with the reason for its size.
///
package enum Limits {
    /// What one HTTP/1.1 exchange holds at most, whatever the length of its bodies: both heads, a receive buffer for each side, and two
    /// send queues that stop their reader at a mark and may pass it by one read.
    package static let exchangeBytesMax =
        requestHeadBytesMax + responseHeadBytesMax + 2 * streamBytes + 2 * (sendQueueHighBytes + streamBytes)

    /// A request head: request line and fields. nginx's `large_client_header_buffers` allow 8 KiB a line, 32 KiB in all; a
    /// token of the size allowed below must fit.
    package static let requestHeadBytesMax = 32_768
    /// A response's head. Upstreams are the operator's, so a little more.
    package static let responseHeadBytesMax = 65_536
    package static let fieldCountMax = 100
    /// Of a response, whose head is bounded by its bytes before.
    package static let responseFieldCountMax = 4_096
    /// Fields of HTTP/2 that carry a part of the Cookie field each; browsers keep 180 cookies for a host.
    package static let cookieCrumbsMax = 256
    /// Elements of Connection in one head; honest ones have one or two.
    package static let connectionOptionsMax = 16
    package static let targetBytesMax = 8_192
    package static let pathSegmentsMax = 64
    package static let trailerBytesMax = 8_192
    /// A chunk-size line with its extensions; extensions are dropped.
    package static let chunkLineBytesMax = 1_024
    /// The empty lines that a robust server skips before a request line (RFC 9112 §2.2).
    package static let leadingEmptyLinesMax = 2
    /// Addresses of an upstream that one request tries until a connection opens; each may take the connect timeout.
    package static let connectAttemptsMax = 5
    /// The same where each address refuses at once.
    package static let refusedAttemptsMax = 64
    /// Of a request's body to a server of HTTP/2, kept until the response begins: the server may say that it did nothing about it.
    package static let heldBodyBytesMax = 16_384
    /// Interim (1xx) answers to one request that are passed on; more of them are dropped.
    package static let interimResponsesMax = 8
    /// A Location that a route makes of variables.
    package static let locationBytesMax = 8_192
    /// A response of a route's own with the values of its variables.
    package static let answerBytesMax = 65_536
    /// Of a page that browsers are shown in place of a refusal.
    package static let errorPageBytesMax = 262_144

    /// What a directive may be given, and what holds when it is not given.
    package static let requestBodyBytesDefault: UInt64 = 10 << 20

    /// One access token, in its compact form.
    package static let tokenBytesMax = 16_384
    /// Values of all kinds in a token's payload: the 200 groups that directories put into one, many times over.
    package static let tokenValuesMax = 2_048
    /// Different values of the cookie that holds the token, each of which is looked at.
    package static let tokenCookiesMax = 3
    package static let jsonDepthMax = 16
    package static let jsonMembersMax = 512
    /// A key set document; fits into one message from the control process to a worker.
    package static let keySetBytesMax = 184_320
    package static let keySetKeysMax = 256

    /// Where a send queue stops its reader, and where the reader goes on.
    package static let sendQueueHighBytes = 65_536
    package static let sendQueueLowBytes = 16_384
    /// The receive buffer while heads are read, and while a body streams.
    package static let receiveBytes = 16_384
    package static let streamBytes = 65_536
}
