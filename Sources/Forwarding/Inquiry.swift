package import Time
import Authentication
import Bytes
package import HTTP1
package import HTTPMessage
package import RateLimiting
import Routing
package import System

/// Learns what became of an inquiry.
package protocol InquiryHandler: AnyObject {
    /// Called once, from the loop; never from within ``Inquiry/ask(_:)``, and not after ``Inquiry/cancel()``.
    func inquiryEnded(_ inquiry: Inquiry, _ outcome: Result<Inquiry.Answer, Inquiry.Failure>)
}

/// A request that the worker itself makes of a service, over the connections of an upstream: to an external authorizer, an introspection
/// endpoint, a token endpoint. Request and response are small, and in memory.
///
/// It is sent once, unless it says that it may be repeated: a second time only where it never set out, because a connection did not open or was
/// found closed.
package final class Inquiry: ExchangeDownstream, TimerHandler {
    package struct Request {
        package let method: String
        /// With the query; begins with a slash.
        package let path: String
        /// What Host says; nil for the name of the server.
        package let authority: String?
        package let fields: [(name: String, value: [UInt8])]
        package let body: [UInt8]
        /// Whether asking twice does no harm. A kept connection may be closed by the service at the moment of its next use; then a request
        /// without a body, of an idempotent method, goes out again.
        package let isRepeatable: Bool

        package init(
            _ method: String, _ path: String, authority: String? = nil, fields: [(name: String, value: [UInt8])] = [], body: [UInt8] = [],
            isRepeatable: Bool = false
        ) {
            self.isRepeatable = isRepeatable
            self.method = method
            self.path = path
            self.authority = authority
            self.fields = fields
            self.body = body
        }
    }

    package struct Answer {
        package let status: Int
        /// In their order; names in lower case.
        package let fields: [(name: String, value: [UInt8])]
        package let body: [UInt8]

        /// The value of the first field of a name in lower case.
        package subscript(_ name: String) -> [UInt8]? { fields.first { $0.name == name }?.value }
    }

    package enum Failure: Error, Equatable {
        case forwarding(ForwardingError)
        /// No complete response within the timeout.
        case timedOut
        /// The response's body is larger than was agreed on.
        case tooLarge
        /// This part of the request cannot stand in one.
        case unusable(String)
    }

    private enum State {
        case new
        case awaitingHead
        case receiving(status: Int, fields: [(name: String, value: [UInt8])], body: [UInt8])
        case over
    }

    private var state = State.new
    private let exchange: Exchange
    private let group: UpstreamGroup
    private let loop: EventLoop
    private let timeout: Nanoseconds
    private let bodyBytesMax: Int
    private let account: ClientAccount
    /// Held until the inquiry is over.
    private var handler: (any InquiryHandler)?
    private var timer: Timer?
    private var request = Request("GET", "/")

    /// - Parameters:
    ///   - timeout: from ``ask(_:)`` to the end of the response.
    ///   - bodyBytesMax: of the response.
    ///   - account: of the client for whose request this is asked; it takes its turn where connections are scarce.
    package init(
        to group: UpstreamGroup, on loop: EventLoop, timeout: Nanoseconds, bodyBytesMax: Int, account: ClientAccount = ClientAccount(),
        _ handler: any InquiryHandler
    ) {
        self.group = group
        self.loop = loop
        self.timeout = timeout
        self.bodyBytesMax = bodyBytesMax
        self.account = account
        self.handler = handler
        let origin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
        let filter = FieldFilter(headers: [], hiding: CredentialPlaces())
        exchange = Exchange(
            OutgoingHead(RequestContext(), filter, ForwardedFields(), ForwardingRule(upstream: UpstreamID(0)), from: origin))
    }

    /// Sends the request.
    ///
    /// - Throws: what keeps it from being sent at all; the handler is not told then.
    package func ask(_ request: Request) throws(Failure) {
        switch state {
        case .new: break
        // Cancelled before it was asked: nobody wants to know.
        case .over: return
        case .awaitingHead, .receiving: preconditionFailure("an inquiry is asked once")
        }
        let head = try Self.head(request)
        state = .awaitingHead
        self.request = request
        let timer = Timer(self)
        self.timer = timer
        loop.set(timer, after: timeout)
        do {
            try exchange.begin(
                head, for: self, bodyBytes: request.body.count, isRepeatable: request.isRepeatable, group: group, account: account,
                at: loop.now)
        } catch {
            finish()
            throw .forwarding(error)
        }
        sendBody()
    }

    /// Nobody wants to know any more.
    package func cancel() {
        if case .over = state { return }
        exchange.cancel()
        finish()
    }

    package func fired(_ timer: Timer) { end(.failure(.timedOut)) }

    // MARK: - What the exchange tells

    package func received(interim head: borrowing ResponseHead) {}

    package func received(head: borrowing ResponseHead, framing: BodyFraming) {
        let fields = head.fields.lines.map { line in
            (name: head.bytes.extracting(line.name.range).text.lowercased(), value: head.bytes.extracting(line.value.range).copied())
        }
        state = .receiving(status: head.status, fields: fields, body: [])
    }

    package func received(body: Span<UInt8>) {
        guard case .receiving(let status, let fields, var whole) = state else { return }
        guard whole.count + body.count <= bodyBytesMax else { return end(.failure(.tooLarge)) }
        state = .awaitingHead
        whole.append(body)
        state = .receiving(status: status, fields: fields, body: whole)
    }

    package func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {}

    package func responseEnded() {
        guard case .receiving(let status, let fields, let body) = state else { return }
        end(.success(Answer(status: status, fields: fields, body: body)))
    }

    package func responseFailed(_ error: ForwardingError) { end(.failure(.forwarding(error))) }

    /// The timeout holds for all of it.
    package func responseGoesOn() {}
    package func responseMustEnd() {}
    package var takesResponse: Bool { true }
    package func uploadMayContinue() { sendBody() }

    // MARK: -

    /// Sends the body, once there is a connection that takes it; the body is small, so that it goes in one piece.
    private func sendBody() {
        guard !request.body.isEmpty, exchange.isConnected, exchange.takesUpload else { return }
        let body = request.body
        request = Request("GET", "/")
        exchange.send(body.span)
        exchange.endRequest(trailers: [])
    }

    private func end(_ outcome: Result<Answer, Failure>) {
        if case .over = state { return }
        let handler = handler
        if case .failure = outcome { exchange.cancel() }
        finish()
        handler?.inquiryEnded(self, outcome)
    }

    private func finish() {
        state = .over
        handler = nil
        timer?.cancel()
        timer = nil
    }

    /// The head, where every part of it can stand in one.
    private static func head(_ request: Request) throws(Failure) -> InquiryHead {
        let (method, path) = ([UInt8](request.method.utf8), [UInt8](request.path.utf8))
        guard !method.isEmpty, method.allSatisfy(ASCII.isToken) else { throw .unusable("the method") }
        guard path.first == UInt8(ascii: "/"), !path.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == UInt8(ascii: "#") }) else {
            throw .unusable("the path")
        }
        if let authority = request.authority, Authority([UInt8](authority.utf8).span) == nil { throw .unusable("the authority") }
        var lines: [UInt8] = []
        for field in request.fields {
            let name = field.name.utf8
            let isFraming = connectionFields.contains(field.name.lowercased())
            guard !name.isEmpty, name.allSatisfy(ASCII.isToken), !isFraming,
                !field.value.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F })
            else { throw .unusable("the field \(field.name)") }
            lines.append(field.name)
            lines.append(": ")
            lines += field.value
            lines.append("\r\n")
        }
        return InquiryHead(method: method, path: path, authority: request.authority, fields: lines)
    }
}

/// Fields that frame a message or concern one connection: none of them is the caller's to set (RFC 9110 §7.6.1, RFC 9113 §8.2.2).
private let connectionFields: Set<String> = [
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect",
]
