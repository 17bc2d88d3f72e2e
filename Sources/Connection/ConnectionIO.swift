package import Bytes
package import System
package import TLS

/// The socket of one connection, with TLS over it where there is some: opening, reading, sending, watching and closing, no matter who the peer is.
///
/// The connection that owns it says what is read into, what is sent and when; its handlers are those of the loop. Whatever is asked after
/// ``close(_:)`` finds nothing.
package final class ConnectionIO {
    /// How a connection ends.
    package enum Ending {
        /// With a close_notify, where there is TLS.
        case orderly
        /// Without: what was sent must not look complete. In clear the connection is reset.
        case cutShort
        /// Without a word; nobody could take it for the end of a message.
        case silent
    }

    private let loop: EventLoop
    private var transport: Transport?
    private var watch: Watch?
    /// Whether the last read gave anything, so that more may lie in the TLS session, of which the socket tells nothing.
    private var lastReadMoved = false
    private var isTurnQueued = false
    /// Also while the transport is taken out.
    private var isClosed = false

    /// Watches a socket.
    package init(
        _ socket: consuming Descriptor, for interest: Readiness, _ handler: any EventHandler, on loop: EventLoop
    ) throws(SystemError) {
        self.loop = loop
        watch = try loop.watch(socket.raw, for: interest, handler)
        transport = Transport(socket)
    }

    /// Whether the loop still tells of it.
    package var isWatched: Bool { watch != nil }
    /// Nil once it is closed, or not watched any more.
    package var descriptor: Int32? { watch?.descriptor }

    /// Has another handler be told from now on.
    package func hand(to handler: any EventHandler) { if let watch { loop.hand(watch, to: handler) } }

    // MARK: - TLS

    package var isTLS: Bool { use { $0.isTLS } ?? false }

    /// Puts TLS over the connection, before anything is read or written.
    package func secure(with session: consuming TLSSession) {
        var taken: Transport? = exchange(&transport, with: nil)
        taken?.secure(with: session)
        swap(&taken, &transport)
    }

    /// One more step of the handshake; done where there is no TLS.
    package func handshake() -> TLSSession.Handshake {
        guard let outcome = use({ $0.handshake() }) else { return .failed("the connection is closed") }
        // What came with the end of the handshake gives no event.
        if case .done = outcome { lastReadMoved = true }
        return outcome
    }

    /// The protocol that ALPN agreed on; nil without one.
    package var agreedProtocol: String? { use { $0.agreedProtocol } ?? nil }

    /// What a later connection to the same server may begin with; nil for nothing.
    package var resumable: ResumableSession? { use { $0.resumable } ?? nil }

    /// What the handshake has come to; nil without TLS.
    package var agreement: TLSSession.Agreement? { use { $0.agreement } ?? nil }

    /// Tells a peer that does not speak TLS so, before the connection closes.
    package func sendInClear(_ bytes: Span<UInt8>) { use { $0.sendInClear(bytes) } }

    // MARK: - Reading

    /// Reads once to the end of `queue`, into at least `minimum` free bytes.
    package func receive(to queue: inout ByteQueue, minimum: Int) -> Transfer {
        let outcome = use { $0.receive(to: &queue, minimum: minimum) } ?? .ended
        if case .moved = outcome { lastReadMoved = true } else { lastReadMoved = false }
        return outcome
    }

    /// As above, but not a byte more than `most`.
    package func receive(to queue: inout ByteQueue, exactlyAtMost most: Int) -> Transfer {
        use { $0.receive(to: &queue, exactlyAtMost: most) } ?? .ended
    }

    /// Whether a further read would give something of which the socket tells nothing.
    package var holdsMore: Bool { lastReadMoved && hasPending }

    /// Whether bytes wait in the TLS session.
    package var hasPending: Bool { use { $0.hasPending } ?? false }

    /// Whether there may be something to read of which the loop does not tell: also where it is not watched any more.
    package var needsRead: Bool { watch == nil || lastReadMoved && hasPending }

    /// Whether all that has come has been read, and more would be told of.
    package var isQuiet: Bool { watch != nil && !hasPending }

    /// Whether the last read gave anything.
    package var hasReadSomething: Bool { lastReadMoved }

    // MARK: - Sending

    /// Sends what waits in `queue`: `.moved` when all is sent, else why not.
    package func flush(_ queue: inout ByteQueue) -> Transfer {
        guard !queue.isEmpty else { return .moved(0) }
        return use { $0.flush(&queue) } ?? .ended
    }

    /// Sends a part of `bytes`; after `.wouldBlock` the next call must start with the same bytes.
    package func send(_ bytes: Span<UInt8>) -> Transfer { use { $0.send(bytes) } ?? .ended }

    /// Sends close_notify and ends this side; the peer's can still be read.
    package func endWriting() {
        use {
            $0.sendCloseNotify()
            Socket.endWriting($0.raw)
        }
    }

    // MARK: - Waiting

    /// What the loop is to tell of; a system call only where that changes.
    package func wait(toRead: Bool, toWrite: Bool) { wait(for: .waiting(toRead: toRead, toWrite: toWrite)) }

    package func wait(for interest: Readiness) {
        guard var changed = watch else { return }
        loop.change(&changed, to: interest)
        watch = changed
    }

    /// Has `handler` be called at the end of this turn, once.
    package func queueTurn(_ handler: any EndOfTurnHandler) {
        guard !isTurnQueued else { return }
        isTurnQueued = true
        loop.atEndOfTurn(handler)
    }

    /// The end of the turn has come: the handler says so first of all.
    package func turnEnded() { isTurnQueued = false }

    // MARK: - The end

    /// Stops watching a connection that is broken but not read to its end: its event would come again and again.
    package func endWatch() {
        if let watch { loop.end(watch) }
        watch = nil
    }

    package func close(_ ending: Ending) {
        guard !isClosed else { return }
        endWatch()
        use { transport in
            switch ending {
            case .cutShort: if !transport.isTLS { Socket.resetOnClose(transport.raw) }
            case .orderly: transport.sendCloseNotify()
            case .silent: break
            }
        }
        isClosed = true
        transport = nil
    }

    /// Nil once it is closed. See decision 011.
    @inline(__always)
    @discardableResult
    private func use<Result>(_ body: (inout Transport) -> Result) -> Result? {
        var taken: Transport? = exchange(&transport, with: nil)
        guard taken != nil else { return nil }
        let result = body(&taken!)
        if !isClosed { swap(&taken, &transport) }
        return result
    }
}
