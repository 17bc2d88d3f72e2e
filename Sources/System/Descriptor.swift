import CLinux

/// The reason of the last failed system call of this thread.
package var errno: Int32 { pc_errno() }

/// The system's reason why a call failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(_ call: String, code: Int32 = errno) {
        self.call = call
        self.code = code
    }

    package var description: String { "\(call): \(reason)" }

    package var reason: String { SystemError.text(code) }

    package static func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        // SAFETY: the string lives in `buffer` or for ever; it is copied at once.
        return unsafe buffer.withUnsafeMutableBufferPointer { unsafe String(cString: pc_error_text(code, $0.baseAddress!, $0.count)) }
    }
}

/// An open file descriptor with one owner, closed when the owner lets go.
package struct Descriptor: ~Copyable, Sendable {
    package let raw: Int32

    /// Takes over `raw`, which nobody else may close.
    package init(owning raw: Int32) {
        precondition(raw >= 0, "not a descriptor")
        self.raw = raw
    }

    /// Hands the descriptor to somebody who will close it.
    package consuming func release() -> Int32 {
        let released = raw
        discard self
        return released
    }

    deinit { close(raw) }

    /// A second descriptor of the same open file, at a number not below `minimum`.
    package func duplicate(atLeast minimum: Int32 = 3) throws(SystemError) -> Descriptor {
        let copy = pc_fcntl(raw, F_DUPFD_CLOEXEC, minimum)
        guard copy >= 0 else { throw SystemError("fcntl") }
        return Descriptor(owning: copy)
    }
}

/// Reads and writes that say what happened in one value.
package enum Transfer: Equatable {
    /// So many bytes; more may follow.
    case moved(Int)
    /// Nothing now; wait until the descriptor is ready.
    case wouldBlock
    /// The peer has ended its side.
    case ended
    /// The connection is broken.
    case failed(Int32)
}

package enum SystemIO {
    package static func receive(_ descriptor: Int32, into buffer: inout MutableSpan<UInt8>) -> Transfer {
        let count = buffer.count
        // SAFETY: the pointer is the span's, valid for `count` bytes while the call lasts.
        let received = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, count, 0) }
        return outcome(received, atZero: .ended)
    }

    package static func send(_ descriptor: Int32, _ bytes: Span<UInt8>) -> Transfer {
        let count = bytes.count
        // SAFETY: as above; the call only reads.
        let sent = unsafe bytes.withUnsafeBytes { unsafe CLinux.send(descriptor, $0.baseAddress, count, pc_msg_nosignal) }
        return outcome(sent, atZero: .wouldBlock)
    }

    package static func write(_ descriptor: Int32, _ bytes: Span<UInt8>) -> Transfer {
        let count = bytes.count
        // SAFETY: as above; the call only reads.
        let written = unsafe bytes.withUnsafeBytes { unsafe CLinux.write(descriptor, $0.baseAddress, count) }
        return outcome(written, atZero: .wouldBlock)
    }

    private static func outcome(_ result: Int, atZero: Transfer) -> Transfer {
        if result > 0 { return .moved(result) }
        if result == 0 { return atZero }
        let code = errno
        return code == EAGAIN || code == EINTR ? .wouldBlock : .failed(code)
    }
}

package enum Readying {
    /// Whether a write would be taken now, or fail at once.
    package static func isWritable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one entry, which lives for the call.
        return unsafe poll(&entry, 1, 0) > 0
    }
}
