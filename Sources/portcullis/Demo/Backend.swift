import Bytes
import HTTP1
import HTTPMessage
import System

/// A service that reads heads of requests, which have no bodies, and answers each by itself.
final class Backend: EventHandler {
    private let listener: Descriptor
    private let loop: EventLoop
    private var connections: [ObjectIdentifier: Connection] = [:]

    private let respond: (borrowing RequestHead) -> String

    /// - Parameter respond: the whole response to a request.
    init(_ listener: consuming Descriptor, _ loop: EventLoop, respond: @escaping (borrowing RequestHead) -> String) {
        self.listener = listener
        self.loop = loop
        self.respond = respond
    }

    func start() throws { _ = try loop.watch(listener.raw, for: .readable, self) }

    func handle(_ readiness: Readiness) {
        guard case .connection(let descriptor, _) = Socket.accept(listener.raw) else { return }
        let connection = Connection(descriptor, loop, respond) { [unowned self] in connections[ObjectIdentifier($0)] = nil }
        connections[ObjectIdentifier(connection)] = connection
        connection.start()
    }

    final class Connection: EventHandler {
        private let descriptor: Descriptor
        private let loop: EventLoop
        private var watch: Watch?
        private var parser = RequestParser()
        private var head = RequestHead()
        private var inbound = ByteQueue()
        private let respond: (borrowing RequestHead) -> String
        private let ended: (Connection) -> Void

        init(
            _ descriptor: consuming Descriptor, _ loop: EventLoop, _ respond: @escaping (borrowing RequestHead) -> String,
            ended: @escaping (Connection) -> Void
        ) {
            self.respond = respond
            self.descriptor = descriptor
            self.loop = loop
            self.ended = ended
        }

        func start() { watch = try? loop.watch(descriptor.raw, for: .readable, self) }

        func handle(_ readiness: Readiness) {
            let raw = descriptor.raw
            var transfer = Transfer.wouldBlock
            _ = inbound.fill(minimum: 16_384) { buffer in
                transfer = SystemIO.receive(raw, into: &buffer)
                if case .moved(let count) = transfer { return count }
                return 0
            }
            if transfer == .wouldBlock { return }
            guard case .moved = transfer else { return end() }
            do {
                while case .complete(let consumed) = try parser.parse(inbound, into: &head) {
                    inbound.drop(consumed)
                    let response = [UInt8](respond(head).utf8)
                    _ = SystemIO.send(descriptor.raw, response.span)
                }
            } catch {
                end()
            }
        }

        private func end() {
            if let watch { loop.end(watch) }
            ended(self)
        }
    }
}
