import ArgumentParser
import Bytes
import HTTP1
import HTTPMessage
import System

/// The small service behind the demonstration's gateway: tells what it was sent, as JSON.
struct BackendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo-backend", shouldDisplay: false)

    func run() throws {
        let loop = try EventLoop()
        let backend = Backend(Descriptor(owning: 3), loop)
        try backend.start()
        loop.run()
    }
}

private final class Backend: EventHandler {
    private let listener: Descriptor
    private let loop: EventLoop
    private var connections: [ObjectIdentifier: Connection] = [:]

    init(_ listener: consuming Descriptor, _ loop: EventLoop) {
        self.listener = listener
        self.loop = loop
    }

    func start() throws { _ = try loop.watch(listener.raw, for: .readable, self) }

    func handle(_ readiness: Readiness) {
        guard case .connection(let descriptor, _) = Socket.accept(listener.raw) else { return }
        let connection = Connection(descriptor, loop) { [unowned self] in connections[ObjectIdentifier($0)] = nil }
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
        private let ended: (Connection) -> Void

        init(_ descriptor: consuming Descriptor, _ loop: EventLoop, ended: @escaping (Connection) -> Void) {
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
                    respond()
                }
            } catch {
                end()
            }
        }

        private func respond() {
            var body = "{\"method\":\"\(head.text(head.methodRange))\",\"target\":\"\(head.text(head.targetRange))\",\"headers\":{"
            var lines: [String] = []
            for line in head.fields.lines {
                lines.append("\"\(head.text(line.name))\":\"\(head.text(line.value).filter { $0 != "\"" && $0 != "\\" })\"")
            }
            body += lines.joined(separator: ",") + "}}\n"
            let response = [UInt8](
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8)
            _ = SystemIO.send(descriptor.raw, response.span)
        }

        private func end() {
            if let watch { loop.end(watch) }
            ended(self)
        }
    }
}
