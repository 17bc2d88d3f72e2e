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
    /// Called once for each request, from the loop; never from within ``Inquiry/ask(_:of:_:)``, and not after ``Inquiry/cancel()``.
    func inquiryEnded(_ inquiry: Inquiry, _ outcome: Result<Inquiry.Answer, Inquiry.Failure>)
}

/// A request that the worker itself makes of a service, over the connections of an upstream: to an external authorizer, an introspection
/// endpoint, a token endpoint. Request and response are small, and in memory.
///
/// It is sent once, unless it says that it may be repeated: a second time only where it never set out, because a connection did not open or was
/// found closed. When it is over the object may ask again.
package final class Inquiry: ExchangeDownstream {
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
        /// Empty where the inquiry does not keep it.
        package let body: [UInt8]
        private let head: [UInt8]
        private let lines: [FieldTable.Line]

        init(_ head: borrowing ResponseHead) {
            status = head.status
            body = []
            self.head = head.bytes.copied()
            lines = head.fields.lines
        }

        init(_ begun: Answer, body: [UInt8]) {
            status = begun.status
            head = begun.head
            lines = begun.lines
            self.body = body
        }

        /// In their order; names in lower case.
        package var fields: [(name: String, value: [UInt8])] {
            lines.map { (name: head.span.extracting($0.name.range).text.lowercased(), value: Array(head[$0.value.range])) }
        }

        /// The value of the first field of a name.
        package subscript(_ name: String) -> [UInt8]? {
            lines.first { head.span.extracting($0.name.range).equalsIgnoringCase(name) }.map { Array(head[$0.value.range]) }
        }

        /// The values of all fields of a name.
        package func values(_ name: String) -> [[UInt8]] {
            var values: [[UInt8]] = []
            for line in lines where head.span.extracting(line.name.range).equalsIgnoringCase(name) {
                values.append(Array(head[line.value.range]))
            }
            return values
        }
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
        /// Nothing is under way.
        case over
        case awaitingHead
        case receiving(Answer, bodyBytes: Int, body: [UInt8])
    }

    private var state = State.over
    private let exchange: Exchange
    private let group: UpstreamGroup
    private let loop: EventLoop
    private let timeout: Nanoseconds
    private let bodyBytesMax: Int
    private let keepsBody: Bool
    /// Held until the inquiry is over.
    private var handler: (any InquiryHandler)?
    private var timer: Timer?
    /// Of the request, until it is sent.
    private var body: [UInt8] = []

    /// - Parameters:
    ///   - timeout: from ``ask(_:of:_:)`` to the end of the response.
    ///   - bodyBytesMax: of the response.
    ///   - keepsBody: whether the handler wants it.
    package init(to group: UpstreamGroup, on loop: EventLoop, timeout: Nanoseconds, bodyBytesMax: Int, keepsBody: Bool = true) {
        self.group = group
        self.loop = loop
        self.timeout = timeout
        self.bodyBytesMax = bodyBytesMax
        self.keepsBody = keepsBody
        exchange = Exchange(OutgoingHead(RequestContext(), noFilter, ForwardedFields(), noRule, from: noOrigin))
    }

    /// Sends a request.
    ///
    /// - Parameters:
    ///   - account: of the client for whose request this is asked; it takes its turn where connections are scarce.
    ///   - handler: held until the inquiry is over.
    /// - Throws: what keeps it from being sent at all; the handler is not told then.
    package func ask(
        _ request: Request, of account: ClientAccount = ClientAccount(), _ handler: any InquiryHandler
    ) throws(Failure) {
        try ask(try Self.head(request), body: request.body, isRepeatable: request.isRepeatable, of: account, handler)
    }

    /// As above, with a head whose parts are known to be good.
    package func ask(
        _ head: InquiryHead, body: [UInt8] = [], isRepeatable: Bool, of account: ClientAccount, _ handler: any InquiryHandler
    ) throws(Failure) {
        guard case .over = state else { preconditionFailure("an inquiry asks one thing at a time") }
        state = .awaitingHead
        self.handler = handler
        self.body = body
        let timer = timer ?? Timer(Deadline(self))
        self.timer = timer
        loop.set(timer, after: timeout)
        do {
            try exchange.begin(
                head, for: self, bodyBytes: body.count, isRepeatable: isRepeatable, group: group, account: account, at: loop.now)
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

    /// Kept from one request to the next, as the timer is, and does not hold the inquiry, which holds the timer.
    private final class Deadline: TimerHandler {
        private unowned let inquiry: Inquiry

        init(_ inquiry: Inquiry) { self.inquiry = inquiry }

        func fired(_ timer: Timer) { inquiry.end(.failure(.timedOut)) }
    }

    deinit { timer?.cancel() }

    // MARK: - What the exchange tells

    package func received(interim head: borrowing ResponseHead) {}

    package func received(head: borrowing ResponseHead, framing: BodyFraming) {
        state = .receiving(Answer(head), bodyBytes: 0, body: [])
    }

    package func received(body: Span<UInt8>) {
        guard case .receiving(let answer, let count, var whole) = state else { return }
        guard body.count <= bodyBytesMax - count else { return end(.failure(.tooLarge)) }
        state = .awaitingHead
        if keepsBody { whole.append(body) }
        state = .receiving(answer, bodyBytes: count + body.count, body: whole)
    }

    package func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {}

    package func responseEnded() {
        guard case .receiving(let answer, _, let body) = state else { return }
        end(.success(Answer(answer, body: body)))
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
        guard !body.isEmpty, exchange.isConnected, exchange.takesUpload else { return }
        let body = body
        self.body = []
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
        body = []
        timer?.clear()
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

// Nothing of a client's request goes with an inquiry.
private let noFilter = FieldFilter(headers: [], hiding: CredentialPlaces())
private let noRule = ForwardingRule(upstream: UpstreamID(0))
private let noOrigin = DownstreamOrigin(peer: [], isPeerTrusted: false, isTLS: false, addresses: nil)
