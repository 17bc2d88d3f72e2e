import CLinux

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

package enum Readying {
    /// Whether a write would be taken now, or fail at once.
    package static func isWritable(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one entry, which lives for the call.
        return unsafe poll(&entry, 1, 0) > 0
    }
}
