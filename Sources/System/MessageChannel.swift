import Bytes
import CLinux

/// Receives what comes over a channel between two of our processes.
package protocol MessageReceiver: AnyObject {
    /// - Parameter descriptor: what came along with the message; the receiver owns it.
    func received(_ message: [UInt8], descriptor: consuming Descriptor?, on channel: MessageChannel)
    /// The other process has ended.
    func closed(_ channel: MessageChannel)
}

/// Messages between two processes of the gateway, over a socket that keeps their boundaries.
///
/// A message is at most `messageBytesMax` long and may carry one descriptor. What the socket does not take at once waits
/// here, in order; past `waitingMax` messages the oldest state messages would be lost, so the channel closes instead.
package final class MessageChannel: EventHandler {
    package let raw: Int32
    private let loop: EventLoop
    private weak var receiver: (any MessageReceiver)?
    private var watch: Watch?
    private var waiting: [(bytes: [UInt8], descriptor: Int32)] = []

    /// Takes over `socket`.
    package init(_ socket: consuming Descriptor, on loop: EventLoop, receiver: any MessageReceiver) throws(SystemError) {
        raw = socket.release()
        self.loop = loop
        self.receiver = receiver
        watch = try loop.watch(raw, for: .readable, self)
    }

    /// Sends a message; `descriptor` is duplicated, the caller keeps its own.
    package func send(_ message: [UInt8], descriptor: Int32 = -1) {
        precondition(message.count <= messageBytesMax, "a message too long for its channel")
        guard watch != nil else { return }
        if waiting.isEmpty, transmit(message, descriptor) { return }
        guard waiting.count < waitingMax else { return close() }
        waiting.append((message, descriptor >= 0 ? pc_fcntl(descriptor, F_DUPFD_CLOEXEC, 3) : -1))
        if var watch {
            loop.change(&watch, to: [.readable, .writable])
            self.watch = watch
        }
    }

    /// Sends a message that may be lost: not where others wait already.
    package func sendIfIdle(_ message: [UInt8]) { if waiting.isEmpty { send(message) } }

    package func close() {
        guard let watch else { return }
        loop.end(watch)
        self.watch = nil
        for message in waiting where message.descriptor >= 0 { CLinux.close(message.descriptor) }
        waiting = []
        CLinux.close(raw)
        receiver?.closed(self)
    }

    package func handle(_ readiness: Readiness) {
        if readiness.allowsWriting { flush() }
        guard watch != nil, readiness.allowsReading else { return }
        receiveAll()
    }

    private func receiveAll() {
        var buffer = [UInt8](repeating: 0, count: messageBytesMax)
        while watch != nil {
            var passed: Int32 = -1
            var truncated: Int32 = 0
            // SAFETY: the buffer is valid for its size during the call; the other arguments live on this frame.
            let count = unsafe buffer.withUnsafeMutableBytes {
                unsafe pc_receive_with_descriptor(raw, $0.baseAddress, $0.count, &passed, &truncated)
            }
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0, truncated == 0 else {
                if passed >= 0 { CLinux.close(passed) }
                return close()
            }
            receiver?.received(
                Array(buffer[..<count]), descriptor: passed >= 0 ? Descriptor(owning: passed) : nil, on: self)
        }
    }

    private func flush() {
        while let first = waiting.first {
            guard transmit(first.bytes, first.descriptor) else { return }
            if first.descriptor >= 0 { CLinux.close(first.descriptor) }
            waiting.removeFirst()
        }
        guard var watch else { return }
        loop.change(&watch, to: .readable)
        self.watch = watch
    }

    /// False when the socket takes nothing now.
    private func transmit(_ message: [UInt8], _ descriptor: Int32) -> Bool {
        // SAFETY: the array's bytes are valid during the call, which only reads them.
        let sent = unsafe message.withUnsafeBytes { unsafe pc_send_with_descriptor(raw, $0.baseAddress, $0.count, descriptor) }
        if sent < 0, errno == EAGAIN || errno == EINTR || errno == ENOBUFS { return false }
        return true
    }
}

/// Larger than the largest key set, smaller than a Unix socket's send buffer (212,992 bytes by default).
package let messageBytesMax = 196_608
private let waitingMax = 1_024
