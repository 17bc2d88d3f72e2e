import Bytes
import Connection
import HTTP1
import HTTPMessage
import System
import TLS

/// Receiving: heads, bodies, trailers, and what comes through a tunnel.
extension UpstreamConnection {
    func receive() {
        guard let io else { return }
        // The queue is taken out, so that nothing that the client does meets it half read.
        var queue = exchange(&inbound, with: ByteQueue())
        if queue.isEmpty { queue.prepare(from: server.buffers) }
        var outcome = end ?? .moved(0)
        if end == nil, queue.count < Limits.streamBytes {
            let minimum = min(Limits.streamBytes, max(4_096, queue.capacity - queue.count))
            outcome = io.receive(to: &queue, minimum: minimum)
        }
        switch outcome {
        case .moved: progressed()
        case .wouldBlock: break
        case .ended, .failed: following = .impossible
        }
        if !queue.isEmpty, state == .busy { process(&queue) }
        switch outcome {
        case .moved, .wouldBlock: break
        case .ended, .failed:
            end = outcome
            // What was read before the end goes out first.
            if !isReadingPaused { ended(isClean: outcome == .ended) }
        }
        guard state != .closed else { return }
        queue.release(to: server.buffers)
        swap(&queue, &inbound)
        if state == .busy, !isReadingPaused, io.needsRead { io.queueTurn(self) }
    }

    /// Reads what has come: heads, body, trailers, as far as the client takes them.
    private func process(_ queue: inout ByteQueue) {
        // A response that came before its request belongs to nobody.
        guard delivery != .nothing else { return fail(.closedEarly) }
        delivery = .response
        while state == .busy, !queue.isEmpty, !isReadingPaused {
            do {
                switch body {
                case .none:
                    // Bytes beyond the response: nobody can say what they belong to.
                    return close()
                case .head:
                    guard try readHead(&queue) else { return }
                case .length(let remaining):
                    let count = Int(min(UInt64(queue.count), remaining))
                    body = .length(remaining - UInt64(count))
                    client?.received(body: queue.readable.extracting(0..<count), on: self)
                    queue.drop(count)
                    if UInt64(count) == remaining { responseComplete(isQueueEmpty: queue.isEmpty) }
                case .chunked(var decoder):
                    let event = try decoder.next(queue.readable)
                    body = .chunked(decoder)
                    switch event {
                    case .needMore(let consumed):
                        queue.drop(consumed)
                        return
                    case .data(let range, let consumed):
                        client?.received(body: queue.readable.extracting(range), on: self)
                        queue.drop(consumed)
                    case .trailer(let line, let consumed):
                        client?.received(trailer: line, in: queue.readable, on: self)
                        queue.drop(consumed)
                    case .end(let consumed):
                        queue.drop(consumed)
                        responseComplete(isQueueEmpty: queue.isEmpty)
                    }
                case .untilClose, .tunnel:
                    client?.received(body: queue.readable, on: self)
                    queue.removeAll()
                }
            } catch {
                return fail(.badResponse(error))
            }
        }
    }

    /// False when the head is not complete.
    private func readHead(_ queue: inout ByteQueue) throws(MessageError) -> Bool {
        // Taken out, as the queue is.
        var head = exchange(&self.head, with: ResponseHead())
        defer { swap(&head, &self.head) }
        var parser = parser
        let result = try parser.parse(queue, into: &head)
        self.parser = parser
        guard case .complete(let consumed) = result else { return false }
        queue.drop(consumed)
        try headComplete(head, isQueueEmpty: queue.isEmpty)
        return true
    }

    private func headComplete(_ head: borrowing ResponseHead, isQueueEmpty: Bool) throws(MessageError) {
        try head.checkConnectionOptions()
        if head.status == 101 { return tunnelOpened(head) }
        if head.status < 200 {
            interimCount += 1
            if interimCount <= Limits.interimResponsesMax { client?.received(interim: head, on: self) }
            return
        }
        let framing = try BodyFraming.of(head, to: shape.method)
        if head.allowsReuse, shape.upgrade == nil, framing != .close, following == .undecided { following = .allowed }
        if head.isStream {
            isStream = true
            progressed()
        }
        client?.received(head: head, framing: framing, on: self)
        guard state == .busy else { return }
        switch framing {
        case .none, .length(0): responseComplete(isQueueEmpty: isQueueEmpty)
        case .length(let count): body = .length(count)
        case .chunked: body = .chunked(ChunkedDecoder(takesPadding: true))
        case .close: body = .untilClose
        }
    }

    /// The upstream agrees to the protocol that was asked for: from here on bytes go both ways as they come.
    private func tunnelOpened(_ head: borrowing ResponseHead) {
        guard let upgrade = shape.upgrade, let given = head.fields.first(.upgrade)?.value.range,
            head.bytes.extracting(given).equalsIgnoringCase(upgrade.span),
            head.fields.list(.connection, contains: "upgrade", in: head.bytes)
        else { return fail(.unexpectedResponse("the upstream switches to a protocol that was not asked for")) }
        isStream = true
        body = .tunnel
        progressed()
        client?.received(head: head, framing: .close, on: self)
    }

    private func responseComplete(isQueueEmpty: Bool) {
        body = .none
        let client = self.client
        self.client = nil
        // Both sides agree that the exchange is over, and nothing unasked-for was read: only then is there another one.
        if following == .allowed, upload == .complete, outbound.isEmpty, isQueueEmpty, io?.isQuiet ?? false, canBeKept {
            becomeIdle()
            server.checkIn(self)
        } else {
            close()
        }
        client?.responseEnded(on: self)
    }

    func becomeIdle() {
        state = .idle
        isReused = true
        isReadingPaused = false
        updateInterest()
        loop.set(timer!, after: server.settings.timeouts.idle)
    }

    private func ended(isClean: Bool) {
        guard state == .busy else { return }
        switch body {
        case .untilClose where isClean, .tunnel where isClean: return responseComplete(isQueueEmpty: true)
        default: break
        }
        fail(.closedEarly)
    }
}
