package import Time
import Bytes
import HTTP1
package import HTTPMessage
package import System
package import TLS

/// One request over https, blocking; for the control process's threads and for demonstrations and trials, never on a loop.
package struct HTTPSClient {
    package typealias Failure = BlockingConnection.Failure

    package struct Response: ~Copyable {
        package var head = ResponseHead()
        package var body: [UInt8] = []

        /// The value of the first field of this name.
        package func field(_ name: String) -> String? {
            let utf8 = name.utf8
            guard let line = head.fields.first(named: utf8.span, in: head.bytes) else { return nil }
            return head.bytes.extracting(line.value.range).text
        }
    }

    /// What a proxy is asked for, so that TLS goes through it to the server. Source: RFC 9110 §9.3.6.
    package struct Tunnel: Sendable {
        let authority: String
        /// The value of Proxy-Authorization.
        let authorization: String?
    }

    private let context: ClientContext
    private let bodyBytesMax: Int
    private let allowed: Nanoseconds

    package init(_ context: ClientContext, bodyBytesMax: Int, within allowed: Nanoseconds) {
        self.context = context
        self.bodyBytesMax = bodyBytesMax
        self.allowed = allowed
    }

    /// Sends `request`, whole, to the server called `host` at `address`, and reads the response to its end.
    ///
    /// - Parameters:
    ///   - tunnel: what to ask for at `address`, where that is a proxy's.
    ///   - isSecure: whether TLS is spoken, as it is but for a trial.
    package func exchange(
        _ request: String, with host: String, at address: SocketAddress, through tunnel: Tunnel? = nil, isSecure: Bool = true
    ) throws(Failure) -> Response {
        try exchange(
            Array(request.utf8), isHead: request.hasPrefix("HEAD "), with: host, at: address, through: tunnel, isSecure: isSecure)
    }

    /// As above, for a request whose body may be any bytes.
    package func exchange(
        _ request: [UInt8], isHead: Bool, with host: String, at address: SocketAddress, through tunnel: Tunnel? = nil, isSecure: Bool = true
    ) throws(Failure) -> Response {
        var connection = try BlockingConnection.open(to: address, within: allowed)
        if let tunnel { try open(tunnel, &connection) }
        if isSecure { try connection.secure(context, host: host) }
        try connection.send(request)
        return try response(&connection, to: isHead ? .head : .get)
    }

    /// Has a proxy connect; what follows its response is the server's.
    private func open(_ tunnel: Tunnel, _ connection: inout BlockingConnection) throws(Failure) {
        let authorization = tunnel.authorization.map { "Proxy-Authorization: \($0)\r\n" } ?? ""
        try connection.send(
            Array("CONNECT \(tunnel.authority) HTTP/1.1\r\nHost: \(tunnel.authority)\r\n\(authorization)\r\n".utf8))
        var queue = ByteQueue()
        var parser = ResponseParser()
        var head = ResponseHead()
        do {
            while true {
                if case .complete(let consumed) = try parser.parse(queue, into: &head) {
                    guard consumed == queue.count else { throw Failure(reason: "the proxy sent more than its response") }
                    if head.status >= 200 { break }
                    queue.removeAll()
                    continue
                }
                // Byte by byte, so that nothing of the server's is taken.
                guard try connection.receive(&queue, exactlyAtMost: 1) else { throw Failure(reason: "the proxy closed the connection") }
            }
        } catch let error as MessageError {
            throw Failure(reason: "the proxy's response is malformed: \(error.explanation)")
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(reason: "\(error)")
        }
        guard 200..<300 ~= head.status else { throw Failure(reason: "the proxy answered \(head.status)") }
    }

    private func response(_ connection: inout BlockingConnection, to method: Method) throws(Failure) -> Response {
        var queue = ByteQueue()
        var parser = ResponseParser()
        var response = Response()
        do {
            while true {
                if case .complete(let consumed) = try parser.parse(queue, into: &response.head) {
                    queue.drop(consumed)
                    if response.head.status >= 200 { break }
                    continue
                }
                guard try connection.receive(&queue) else { throw Failure(reason: "the connection ended before a response") }
            }
            response.body = try readBody(try BodyFraming.of(response.head, to: method), &connection, &queue)
        } catch let error as MessageError {
            throw Failure(reason: "the response is malformed: \(error.explanation)")
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(reason: "\(error)")
        }
        return response
    }

    private func readBody(
        _ framing: BodyFraming, _ connection: inout BlockingConnection, _ queue: inout ByteQueue
    ) throws -> [UInt8] {
        var body: [UInt8] = []
        var decoder = ChunkedDecoder()
        while true {
            guard body.count + queue.count <= bodyBytesMax else {
                throw Failure(reason: "the response is larger than \(bodyBytesMax) bytes")
            }
            switch framing {
            case .none: return []
            case .length(let count):
                if UInt64(queue.count) >= count { return queue.readable.extracting(0..<Int(count)).copied() }
                guard try connection.receive(&queue) else { throw Failure(reason: "the response was cut short") }
            case .close:
                body.append(queue.readable)
                queue.removeAll()
                guard try connection.receive(&queue) else { return body }
            case .chunked:
                switch try decoder.next(queue.readable) {
                case .end: return body
                case .data(let range, let consumed):
                    body.append(queue.readable.extracting(range))
                    queue.drop(consumed)
                case .trailer(_, let consumed): queue.drop(consumed)
                case .needMore(let consumed):
                    queue.drop(consumed)
                    guard try connection.receive(&queue) else { throw Failure(reason: "the response was cut short") }
                }
            }
        }
    }
}
