import Time
import Connection
import Authentication
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTP2
import HTTPMessage
import Observability
import Policy
import Routing
import System

/// What the session asks of a response's body.
extension HTTP2Stream {
    func nextBody(atMost: Int) -> BodyStep {
        if response == .broken { return .broken }
        if !body.isEmpty {
            let count = min(atMost, body.count)
            return .bytes(count, isLast: response == .complete && count == body.count && !hasResponseTrailers)
        }
        guard response == .complete else {
            isAwaited = true
            return .wait
        }
        return hasResponseTrailers ? .trailers : .bytes(0, isLast: true)
    }

    func holdsBody(_ count: Int) -> Bool { body.count >= count }

    func moveBody(_ count: Int, to output: inout ByteQueue) {
        var queue = exchange(&body, with: ByteQueue())
        var progress = downloadProgress
        let now = services.loop.now
        output.move(count, from: &queue)
        isTooSlow = !progress.moved(count, at: now, atLeast: services.settings.clientLimits.downloadRate)
        progress.endWaiting(at: now)
        let left = queue.count
        if left == 0 {
            stallTimer?.clear()
            isTooSlow = false
            queue.release(to: services.buffers)
        } else {
            // A stream that lacks window is the client's fault; one that waits for other streams is not.
            if connection.session.sendWindow(of: id) <= count { progress.beginWaiting(at: now) }
            armStallTimer()
        }
        swap(&queue, &body)
        downloadProgress = progress
        if response != .complete, left <= Limits.sendQueueLowBytes { passage.exchange.resumeResponse() }
    }

    private func armStallTimer() {
        let timer = stallTimer ?? Timer(self)
        stallTimer = timer
        services.loop.set(timer, after: isTooSlow ? .zero : services.settings.timeouts.write)
    }
}

/// Sending answers: the upstream's as it comes, or one that the gateway makes.
extension HTTP2Stream: PassageFrontEnd {
    var takesResponse: Bool { body.count < Limits.sendQueueHighBytes }

    func forwardingBegan() {
        // A request that ended at once has its response already.
        guard bodyUse != .discarded else { return }
        if bodyUse == .awaitsContinue {
            var block = connection.takeBlock()
            ResponseHeadWriter.begin(100, &block)
            connection.sendInterim(block, id)
            connection.putBack(block)
        }
        bodyUse = .forwarded
        sendOn()
        openWindow()
    }

    func uploadMayContinue() { sendOn() }

    func received(interim head: borrowing ResponseHead) {
        guard response == .none else { return }
        var block = connection.takeBlock()
        ResponseHeadWriter.writeInterim(head, dropsCORS: passage.ownsCORS, passage.responseFields, to: &block)
        connection.sendInterim(block, id)
        connection.putBack(block)
    }

    func received(head: borrowing ResponseHead, framing: BodyFraming) {
        let passage = passage
        if passage.extendedProtocol != nil, (200..<300).contains(head.status) {
            // To a client of HTTP/2 any success would mean that the tunnel is open.
            passage.exchange.cancel()
            return services.path.refuse(passage, .forwarding(.unexpectedResponse("the upstream does not change to the protocol")))
        }
        passage.status = head.status
        services.path.responseBegan(head, passage)
        if let own = passage.responseFields { passage.presentFields = own.present(in: head) }
        response = .begun
        if passage.compression != nil { passage.beginEncoding(head, framing) }
        let framing = passage.encoding == nil ? framing : .chunked
        responseFraming = framing
        var block = connection.takeBlock()
        let rewriter = RedirectRewriter.mayConcern(head) ? passage.redirectRewriter(head) : nil
        ResponseHeadWriter.write(head, framing: framing, rewriter, dropsCORS: passage.ownsCORS, passage.upstreamsFields, to: &block)
        if !head.fields.has(.date) { block.append("date", TimeText.fieldDate(services.loop.wall)) }
        services.path.addedFields.append(passage, to: &block)
        connection.putBack(block)
        connection.holdHead(id, hasBody: !framing.isEmpty)
        if head.status == 101 {
            services.path.expiry.began(LiveStream(passage.opensWebSocket ? .webSocket : .tunnel), of: passage)
            sendOn()
        } else if head.isStream, passage.stream == nil {
            services.path.expiry.began(LiveStream(.events), of: passage)
        }
    }

    func send(body bytes: Span<UInt8>) {
        guard !bytes.isEmpty else { return }
        passage.bytesOut += UInt64(bytes.count)
        var queue = exchange(&body, with: ByteQueue())
        if queue.isEmpty {
            queue.prepare(from: services.buffers)
            if connection.session.sendWindow(of: id) <= 0 {
                var progress = downloadProgress
                progress.beginWaiting(at: services.loop.now)
                downloadProgress = progress
            }
            armStallTimer()
        }
        queue.append(bytes)
        swap(&queue, &body)
        goOn()
    }

    /// The session asks by itself for what it has not asked for yet.
    private func goOn() {
        guard isAwaited else { return connection.queueTurn() }
        isAwaited = false
        connection.resume(id)
    }

    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {
        guard line.id == .other, passage.passes(trailer: bytes.extracting(line.name.range)) else { return }
        append(responseTrailer: bytes.extracting(line.name.range), bytes.extracting(line.value.range))
    }

    func responseEnded() {
        if passage.encoding != nil, !endEncoding() { return }
        response = .complete
        services.path.finish(passage, isComplete: true)
        goOn()
    }

    func endResponse(of stream: LiveStream) {
        passage.exchange.cancel()
        // A response of a given length cannot end before; where nothing of it has gone out, it need not begin.
        if case .length = responseFraming, response != .none {
            guard connection.dropHead(of: id) else { return responseFailed(.closedEarly) }
            forgetResponse()
        }
        guard response != .none else {
            return services.path.refuse(passage, passage.lostCredential ?? .forwarding(.busy))
        }
        if stream.kind == .grpc {
            for (name, value) in [("grpc-status", stream.grpcStatus), ("grpc-message", stream.explanation)] {
                let (name, value) = (name.utf8, value.utf8)
                append(responseTrailer: name.span, value.span)
            }
        }
        responseEnded()
    }

    func closeTunnel() {
        guard let stream = passage.stream else { return }
        if let frame = stream.pendingClose { send(body: frame.span) }
        passage.exchange.leave(saying: stream.lastWord)
        bodyUse = .discarded
        responseEnded()
    }

    func responseFailed(_ error: ForwardingError) {
        if response != .none, connection.dropHead(of: id) { forgetResponse() }
        guard response != .none else { return services.path.refuse(passage, passage.lostCredential ?? .forwarding(error)) }
        // A part of the response is with the client: only a reset tells that the rest is missing.
        passage.verdict = .brokenOff(error)
        services.path.finish(passage, isComplete: false)
        response = .broken
        connection.reset(id, StreamCode.internalError)
    }

    /// The client has seen nothing of it yet.
    private func forgetResponse() {
        response = .none
        passage.bytesOut = 0
        dropResponseTrailers()
        dropBody()
        stallTimer?.clear()
    }

    func respond(_ reply: Reply) {
        response = .complete
        bodyUse = .discarded
        dropUpload()
        bodyTimer?.clear()
        var block = connection.takeBlock()
        ResponseHeadWriter.begin(reply.status, &block)
        block.append("date", TimeText.fieldDate(services.loop.wall))
        block.append(lines: reply.fields)
        services.path.addedFields.append(passage, to: &block)
        if reply.hasLength { block.append("content-length", decimal: UInt64(reply.body.count)) }
        let hasBody = passage.context.head.method != .head && !reply.body.isEmpty
        if hasBody {
            var queue = ByteQueue()
            queue.append(reply.body)
            swap(&queue, &body)
            passage.bytesOut += UInt64(reply.body.count)
            armStallTimer()
        }
        connection.sendHead(block, id, hasBody: hasBody)
        connection.putBack(block)
        services.path.finish(passage, isComplete: true)
    }
}
