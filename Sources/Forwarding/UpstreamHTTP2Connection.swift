import Time
import Bytes
import Connection
import HTTP1
import HTTP2
import HTTPMessage
import System
import TLS

/// A connection of HTTP/2 to one server of an upstream, over which many exchanges go at once: carries frames between the
/// socket and the session, and finds the stream that each belongs to. An exchange stands in ``UpstreamHTTP2Stream``.
final class UpstreamHTTP2Connection: OpeningClient, TimerHandler, EndOfTurnHandler, SessionHandler {
    private enum State {
        case opening, open, closed
    }

    /// Which further exchanges may begin here.
    private enum NewStreams {
        /// A few: the server has not said how many it takes.
        case few
        /// As many as the server and the file say.
        case announced
        /// None: the server or the gateway shuts the connection down.
        case none
    }

    let server: UpstreamServer
    let address: SocketAddress
    let loop: EventLoop
    private var state = State.opening
    private var opening: OpeningConnection?
    /// Nil while it opens.
    private var io: ConnectionIO?
    private var timer: Timer?
    private var session: Session!
    private var inbound = ByteQueue()
    private var streams: [StreamID: UpstreamHTTP2Stream] = [:]
    /// Streams whose requests are not with the session: it has not opened yet, or the exchange has just begun.
    private var unnumbered: [UpstreamHTTP2Stream] = []
    /// Streams that have something to tell their clients at the end of this turn.
    private var resumed: [UpstreamHTTP2Stream] = []
    private var builder: ResponseHeadBuilder
    private var head = ResponseHead()
    private var newStreams = NewStreams.few
    private var isTurnQueued = false
    private(set) var hasAnswered = false
    private(set) var receivedAt = Instant.past

    /// Starts to connect. Failures are told later, from the loop.
    init(to server: UpstreamServer, at address: SocketAddress, on loop: EventLoop) throws(SystemError) {
        self.server = server
        self.address = address
        self.loop = loop
        builder = ResponseHeadBuilder(bytesMax: server.settings.headBytesMax)
        opening = try OpeningConnection(to: server, at: address, preamble: [], on: loop, for: self)
        var announced = SessionSettings()
        announced.streamWindow = UInt32(clamping: server.settings.windowAtFirst)
        announced.headerListBytesMax = UInt32(clamping: server.settings.headBytesMax)
        session = Session(.client, announced, outputBytesMax: Limits.sendQueueHighBytes, handler: self)
    }

    var streamCount: Int { streams.count + unnumbered.count }

    /// Whether one more exchange may begin here.
    var takesStreams: Bool {
        // Where the server takes nothing, requests would only pile up.
        guard state != .closed, newStreams != .none, session.hasStreamsLeft, session.outputBytes < Limits.sendQueueHighBytes else {
            return false
        }
        return streamCount < min(newStreams == .announced ? session.peerStreamsMax : streamsAtFirst, server.settings.streamsMax)
    }

    /// Whether it is soon known how many more exchanges may begin here.
    var awaitsSettings: Bool { state != .closed && newStreams == .few }

    func openStream() -> UpstreamHTTP2Stream {
        let stream = UpstreamHTTP2Stream(self)
        unnumbered.append(stream)
        return stream
    }

    // MARK: - Opening

    func opened(_ io: ConnectionIO) {
        opening = nil
        self.io = io
        state = .open
        timer = Timer(self)
        server.answered(address)
        for stream in unnumbered { stream.connectionOpened() }
        waitIfIdle()
        queueTurn()
    }

    func openingFailed(_ error: ForwardingError) {
        opening = nil
        server.refused(address, at: loop.now)
        fail(error)
    }

    // MARK: - Events

    func handle(_ readiness: Readiness) {
        guard state == .open else { return }
        if readiness.allowsWriting { flush() }
        guard state == .open, readiness.allowsReading else { return }
        receive()
    }

    /// Nothing has been under way for a while.
    func fired(_ timer: Timer) {
        guard state == .open, streamCount == 0 else { return }
        session.terminate(StreamCode.noError)
        flush()
        close()
    }

    func turnEnded() {
        isTurnQueued = false
        // Streams outlive their connection while they have something to hand on.
        let due: [UpstreamHTTP2Stream] = exchange(&resumed, with: [])
        for stream in due { stream.deliver() }
        guard state == .open else { return }
        flush()
        if state == .open, io?.holdsMore ?? false { receive() }
    }

    func queueTurn(for stream: UpstreamHTTP2Stream? = nil) {
        if let stream { resumed.append(stream) }
        guard !isTurnQueued else { return }
        isTurnQueued = true
        loop.atEndOfTurn(self)
    }

    private func receive() {
        var queue = exchange(&inbound, with: ByteQueue())
        queue.prepare(from: server.buffers)
        let outcome = io?.receive(to: &queue, minimum: max(4_096, queue.capacity - queue.count)) ?? .ended
        if case .moved = outcome { receivedAt = loop.now }
        do {
            if !queue.isEmpty { try session.receive(&queue) }
        } catch {
            return fail(.unexpectedResponse("the upstream breaks the rules of HTTP/2: \(error.reason)"))
        }
        guard state == .open else { return }
        queue.release(to: server.buffers)
        swap(&queue, &inbound)
        switch outcome {
        case .moved, .wouldBlock: break
        case .ended, .failed: return fail(.closedEarly)
        }
        queueTurn()
    }

    private func flush() {
        while state == .open {
            do {
                try session.fill()
            } catch {
                return fail(.closedEarly)
            }
            if session.outputBytes == 0 { break }
            switch session.withOutput({ io?.flush(&$0) ?? .ended }) {
            case .moved: continue
            case .wouldBlock: return io?.wait(for: [.readable, .writable]) ?? ()
            case .ended, .failed: return receiveLast()
            }
        }
        guard state == .open else { return }
        session.withOutput { $0.release(to: server.buffers) }
        io?.wait(for: .readable)
        if !session.isOpen || newStreams == .none && streamCount == 0 { fail(.closedEarly) }
    }

    /// The server takes no more; answers may be there already.
    private func receiveLast() {
        session.withOutput { $0.removeAll() }
        for _ in 0..<readsAtEnd where state == .open {
            receive()
            if !(io?.hasReadSomething ?? false) { break }
        }
        if state == .open { fail(.closedEarly) }
    }

    // MARK: - The end

    /// Serves no further exchange.
    func closeAfterStreams() {
        newStreams = .none
        if streamCount == 0 { close() }
    }

    private func waitIfIdle() {
        guard let timer else { return }
        if streamCount == 0 { loop.set(timer, after: server.settings.timeouts.idle) } else { timer.clear() }
    }

    /// The connection is gone, and with it every exchange.
    private func fail(_ error: ForwardingError) {
        let hasOpened = state == .open
        let (numbered, waiting) = (Array(streams.values), unnumbered)
        close()
        for stream in waiting { stream.lost(error, isUnsent: true) }
        for stream in numbered { stream.lost(error, isUnsent: !hasOpened) }
    }

    private func close() {
        guard state != .closed else { return }
        if state == .opening { server.leftOpen(address) }
        state = .closed
        streams = [:]
        unnumbered = []
        opening?.cancel()
        opening = nil
        io?.close(.orderly)
        timer?.cancel()
        timer = nil
        session.withOutput { $0.removeAll() }
        server.closed(self)
    }

    // MARK: - What a stream asks

    var isOpen: Bool { state == .open }
    var isTLS: Bool { server.settings.tls != nil }

    /// Sends a request's head; nil when the connection takes no more.
    func submit(_ block: borrowing FieldBlock, hasBody: Bool, _ stream: UpstreamHTTP2Stream) -> StreamID? {
        let id = session.submit(request: block, hasBody: hasBody)
        unnumbered.removeAll { $0 === stream }
        queueTurn()
        guard let id else { return nil }
        streams[id] = stream
        return id
    }

    func resume(_ stream: StreamID) {
        session.resume(stream)
        queueTurn()
    }

    func consume(_ stream: StreamID, _ count: Int) {
        session.consume(stream, count)
        queueTurn()
    }

    func setWindow(_ stream: StreamID, _ bytes: Int) {
        session.setWindow(stream, bytes)
        queueTurn()
    }

    /// The exchange is over, or given up: whatever still comes on its stream is passed over.
    func leave(_ stream: UpstreamHTTP2Stream, _ id: StreamID?, resets: Bool) {
        guard state != .closed else { return }
        unnumbered.removeAll { $0 === stream }
        if let id {
            streams[id] = nil
            if resets { session.reset(id, StreamCode.cancel) }
        }
        waitIfIdle()
        queueTurn()
        server.streamEnded()
    }

    // MARK: - What the session tells

    func headBegan(_ stream: StreamID, isFirst: Bool) { builder.reset() }

    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
        guard let known = streams[stream] else { return true }
        if known.hasHead { builder.add(trailer: name, value) } else { builder.add(name, value) }
        return true
    }

    func invalidField(_ stream: StreamID) { builder.refuse() }

    func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) {
        hasAnswered = true
        guard let known = streams[stream] else { return }
        do throws(MessageError) {
            if known.hasHead {
                try known.received(trailers: builder)
            } else {
                try builder.finish(into: &head)
                try known.received(head, endsStream: endsStream)
            }
        } catch {
            return known.broken(.badResponse(error))
        }
        if endsStream { known.responseEnded() }
    }

    func received(body: Span<UInt8>, _ stream: StreamID) {
        if let known = streams[stream] { known.received(body) } else { session.consume(stream, body.count) }
    }

    func bodyEnded(_ stream: StreamID) { streams[stream]?.responseEnded() }

    func closed(_ stream: StreamID, code: UInt32) {
        guard let known = streams.removeValue(forKey: stream) else { return }
        known.closed(code: code)
        waitIfIdle()
        server.streamEnded()
    }

    func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep { streams[stream]?.nextBody(atMost: atMost) ?? .broken }
    func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { streams[stream]?.holdsBody(count) ?? false }
    func requestNotSent(_ stream: StreamID) {
        guard let known = streams.removeValue(forKey: stream) else { return }
        known.neverSent()
        waitIfIdle()
    }
    func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) { streams[stream]?.moveBody(count, to: &output) }
    func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) { streams[stream]?.lendTrailers(body) }
    func received(_ frame: ControlFrame) {}
    func settingsChanged() {
        if newStreams == .few { newStreams = .announced }
        server.streamEnded()
    }
    func sentEnd(_ stream: StreamID) {}
    func sentReset(_ stream: StreamID, code: UInt32) {
        // What nghttp2 finds wrong with a response it resets by itself.
        if code == StreamCode.protocolError { streams[stream]?.broken(.badResponse(.badPseudoField)) }
    }
    func received(goAway lastStream: StreamID, code: UInt32) { newStreams = .none }
}

/// Streams before the server has said how many it takes: what it refuses then costs a retry, or a request that cannot have one.
private let streamsAtFirst = 4
private let readsAtEnd = 16
