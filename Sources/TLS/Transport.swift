package import Bytes
package import System

/// A connected socket, in clear or under TLS: owns the descriptor, reads and writes without blocking.
package struct Transport: ~Copyable {
    private let descriptor: Descriptor
    private var session: TLSSession?

    /// A connection in clear.
    package init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
        session = nil
    }

    // The getters are mutating so that they can be reached through an optional that must not be consumed.
    package var raw: Int32 { mutating get { descriptor.raw } }
    package var isTLS: Bool { mutating get { session != nil } }

    /// Puts TLS over the connection, before anything is read or written.
    package mutating func secure(with session: consuming TLSSession) { self.session = consume session }

    package mutating func handshake() -> TLSSession.Handshake {
        guard session != nil else { return .done }
        return session!.handshake()
    }

    /// Sends to a peer that does not speak TLS, and after which the connection closes.
    package mutating func sendInClear(_ bytes: Span<UInt8>) { _ = SystemIO.send(descriptor.raw, bytes) }

    /// The protocol that ALPN agreed on; nil without one.
    package var agreedProtocol: String? {
        mutating get {
            if session == nil { return nil }
            return session!.agreedProtocol
        }
    }

    /// What a later connection to the same server may begin with; nil for nothing.
    package var resumable: ResumableSession? {
        mutating get {
            if session == nil { return nil }
            return session!.resumable
        }
    }

    /// What the handshake has come to; nil without TLS.
    package var agreement: TLSSession.Agreement? {
        mutating get {
            if session == nil { return nil }
            return session!.agreement
        }
    }

    package mutating func receive(into buffer: inout MutableSpan<UInt8>) -> Transfer {
        if session == nil { return SystemIO.receive(descriptor.raw, into: &buffer) }
        return session!.receive(into: &buffer)
    }

    /// Sends a part of `bytes`; after `.wouldBlock` the next call must start with the same bytes.
    package mutating func send(_ bytes: Span<UInt8>) -> Transfer {
        if session == nil { return SystemIO.send(descriptor.raw, bytes) }
        return session!.send(bytes)
    }

    /// Sends what waits in `queue`: `.moved` when all is sent, else why not.
    package mutating func flush(_ queue: inout ByteQueue) -> Transfer {
        var sent = 0
        while !queue.isEmpty {
            let transfer = send(queue.readable)
            guard case .moved(let count) = transfer else { return transfer }
            queue.drop(count)
            sent += count
        }
        return .moved(sent)
    }

    /// Reads once to the end of `queue`, into at least `minimum` free bytes.
    package mutating func receive(to queue: inout ByteQueue, minimum: Int) -> Transfer {
        var transfer = Transfer.wouldBlock
        _ = queue.fill(minimum: minimum) { buffer in
            transfer = receive(into: &buffer)
            if case .moved(let count) = transfer { return count }
            return 0
        }
        return transfer
    }

    /// As above, but not a byte more than `most`.
    package mutating func receive(to queue: inout ByteQueue, exactlyAtMost most: Int) -> Transfer {
        var transfer = Transfer.wouldBlock
        _ = queue.fill(minimum: most) { buffer in
            var part = buffer._mutatingExtracting(0..<most)
            transfer = receive(into: &part)
            if case .moved(let count) = transfer { return count }
            return 0
        }
        return transfer
    }

    /// Whether decrypted or undecrypted bytes wait in the session, of which the socket tells nothing.
    package var hasPending: Bool {
        mutating get {
            if session == nil { return false }
            return session!.hasPending
        }
    }

    /// Sends close_notify; the socket closes when the value goes.
    package mutating func sendCloseNotify() {
        if session != nil { session!.close() }
    }
}
