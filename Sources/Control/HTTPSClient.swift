package import Time
import Bytes
import CLinux
import HTTP1
package import HTTPMessage
package import System
package import TLS

/// One request over https, blocking; for the control process's threads and for demonstrations and trials, never on a loop.
package struct HTTPSClient {
    package struct Failure: Error, Sendable {
        package let reason: String
    }

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
    private let deadline: Instant
    private let allowed: Nanoseconds

    package init(_ context: ClientContext, bodyBytesMax: Int, within allowed: Nanoseconds) {
        self.context = context
        self.bodyBytesMax = bodyBytesMax
        self.allowed = allowed
        deadline = Clock.now().adding(allowed)
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
        let socket: Descriptor
        do {
            socket = try Socket.connect(to: address)
        } catch {
            throw Failure(reason: error.description)
        }
        let raw = socket.raw
        try wait(raw, Int16(POLLOUT))
        let code = Socket.pendingError(raw)
        guard code == 0 else { throw Failure(reason: "connecting to \(address.text): \(SystemError.text(code))") }
        var transport = Transport(socket)
        if let tunnel { try open(tunnel, &transport, raw) }
        if isSecure { try secure(&transport, raw, host) }
        try send(request, &transport, raw)
        return try response(&transport, raw, to: isHead ? .head : .get)
    }

    private func secure(_ transport: inout Transport, _ raw: Int32, _ host: String) throws(Failure) {
        guard let session = context.makeSession(raw, host: host) else { throw Failure(reason: "no TLS session could be made") }
        transport.secure(with: session)
        handshake: while true {
            switch transport.handshake() {
            case .done: break handshake
            case .wantsRead: try wait(raw, Int16(POLLIN))
            case .wantsWrite: try wait(raw, Int16(POLLOUT))
            case .failed(let reason): throw Failure(reason: reason)
            }
        }
    }

    private func send(_ request: [UInt8], _ transport: inout Transport, _ raw: Int32) throws(Failure) {
        var outbound = ByteQueue()
        outbound.append(request)
        while !outbound.isEmpty {
            switch transport.flush(&outbound) {
            case .moved: break
            case .wouldBlock: try wait(raw, Int16(POLLOUT))
            case .ended, .failed: throw Failure(reason: "the connection broke while asking")
            }
        }
    }

    /// Has a proxy connect; what follows its response is the server's.
    private func open(_ tunnel: Tunnel, _ transport: inout Transport, _ raw: Int32) throws(Failure) {
        let authorization = tunnel.authorization.map { "Proxy-Authorization: \($0)\r\n" } ?? ""
        try send(Array("CONNECT \(tunnel.authority) HTTP/1.1\r\nHost: \(tunnel.authority)\r\n\(authorization)\r\n".utf8), &transport, raw)
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
                switch transport.receive(to: &queue, exactlyAtMost: 1) {
                case .moved: break
                case .wouldBlock: try wait(raw, Int16(POLLIN))
                case .ended, .failed: throw Failure(reason: "the proxy closed the connection")
                }
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

    private func response(_ transport: inout Transport, _ raw: Int32, to method: Method) throws(Failure) -> Response {
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
                guard try more(&transport, &queue, raw) else { throw Failure(reason: "the connection ended before a response") }
            }
            response.body = try readBody(try BodyFraming.of(response.head, to: method), &transport, &queue, raw)
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
        _ framing: BodyFraming, _ transport: inout Transport, _ queue: inout ByteQueue, _ raw: Int32
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
                guard try more(&transport, &queue, raw) else { throw Failure(reason: "the response was cut short") }
            case .close:
                body.append(queue.readable)
                queue.removeAll()
                guard try more(&transport, &queue, raw) else { return body }
            case .chunked:
                switch try decoder.next(queue.readable) {
                case .end: return body
                case .data(let range, let consumed):
                    body.append(queue.readable.extracting(range))
                    queue.drop(consumed)
                case .trailer(_, let consumed): queue.drop(consumed)
                case .needMore(let consumed):
                    queue.drop(consumed)
                    guard try more(&transport, &queue, raw) else { throw Failure(reason: "the response was cut short") }
                }
            }
        }
    }

    /// Reads on; false at the end of the connection.
    private func more(_ transport: inout Transport, _ queue: inout ByteQueue, _ raw: Int32) throws(Failure) -> Bool {
        while true {
            // Also of a server that always has something to say.
            guard Clock.now() < deadline else { throw Failure(reason: "no reply within \(allowed.seconds) s") }
            switch transport.receive(to: &queue, minimum: 16_384) {
            case .moved: return true
            case .wouldBlock: try wait(raw, Int16(POLLIN))
            case .ended: return false
            case .failed: throw Failure(reason: "the connection broke")
            }
        }
    }

    private func wait(_ raw: Int32, _ events: Int16) throws(Failure) {
        let left = deadline.since(Clock.now()).milliseconds
        var entry = pollfd(fd: raw, events: events, revents: 0)
        // SAFETY: one entry, which lives for the call.
        guard left > 0, unsafe poll(&entry, 1, Int32(clamping: left)) != 0 else {
            throw Failure(reason: "no reply within \(allowed.seconds) s")
        }
    }
}
