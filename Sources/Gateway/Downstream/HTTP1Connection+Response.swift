import Authentication
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Observability
import Policy
import Routing
import System

/// Sending answers: the upstream's as it comes, or one that the gateway makes.
extension HTTP1Connection: PassageFrontEnd {
    var takesResponse: Bool { outbound.count < Limits.sendQueueHighBytes }

    func forwardingBegan() {
        // A request that ended at once has its response already.
        guard state == .exchanging, bodyUse != .discarded else { return }
        if bodyUse == .awaitsContinue { withOutbound { $0.append("HTTP/1.1 100 Continue\r\n\r\n") } }
        bodyUse = .forwarded
        if !isRequestComplete {
            setTimer(after: services.settings.timeouts.body)
            awaitBody()
            queueTurn()
        } else if passage.framing.isEmpty {
            clearTimer()
        }
    }

    func uploadMayContinue() {
        guard state == .exchanging, takesBody, !isRequestComplete, passage.exchange.takesUpload else { return }
        if !isTunnel { setTimer(after: services.settings.timeouts.body) }
        setReadingPaused(false)
        if !inbound.isEmpty { queueTurn() }
    }

    func received(interim head: borrowing ResponseHead) {
        guard passage.version == .http11, response.framing == nil else { return }
        var queue = exchange(&outbound, with: ByteQueue())
        ResponseHeadWriter.writeInterim(head, dropsCORS: passage.ownsCORS, passage.responseFields, to: &queue)
        swap(&queue, &outbound)
        queueTurn()
    }

    func received(head: borrowing ResponseHead, framing: BodyFraming) {
        let passage = passage
        passage.status = head.status
        services.path.responseBegan(head, passage)
        if let own = passage.responseFields { passage.presentFields = own.present(in: head) }
        if head.status == 101 { return tunnelOpened(head) }
        let version = passage.version
        var sent = framing
        if passage.compression != nil { passage.beginEncoding(head, framing) }
        if passage.encoding != nil || framing == .chunked || framing == .close { sent = version == .http11 ? .chunked : .close }
        if !isRequestComplete || sent == .close || services.isDraining { keepAlive = false }
        let rewriter = RedirectRewriter.mayConcern(head) ? passage.redirectRewriter(head) : nil
        var queue = exchange(&outbound, with: ByteQueue())
        response = queue.isEmpty ? .held(sent) : .sending(sent)
        queue.prepare(from: services.buffers)
        ResponseHeadWriter.write(head, framing: sent, rewriter, dropsCORS: passage.ownsCORS, passage.upstreamsFields, to: &queue)
        // Anyone who passes on a response without a date gives it one (RFC 9110 §6.6.1).
        if !head.fields.has(.date) {
            queue.append("Date: ")
            queue.append(TimeText.fieldDate(services.loop.wall))
            queue.appendLineEnd()
        }
        services.path.addedFields.append(passage, to: &queue)
        ResponseHeadWriter.end(keepAlive: keepAlive, version, to: &queue)
        swap(&queue, &outbound)
        queueTurn()
        if head.isStream { services.path.expiry.began(LiveStream(.events), of: passage) }
    }

    /// The upstream agrees: what the client has sent meanwhile, and all that comes from here on, goes through.
    private func tunnelOpened(_ head: borrowing ResponseHead) {
        let upgrade = passage.tunnel?.upgrade ?? []
        response = .sending(.close)
        keepAlive = false
        var queue = exchange(&outbound, with: ByteQueue())
        ResponseHeadWriter.write(head, framing: .close, nil, dropsCORS: passage.ownsCORS, passage.responseFields, to: &queue)
        services.path.addedFields.append(passage, to: &queue)
        queue.append("Connection: Upgrade\r\nUpgrade: ")
        queue.append(upgrade)
        queue.append("\r\n\r\n")
        swap(&queue, &outbound)
        requestBody = .tunnel
        clearTimer()
        setReadingPaused(false)
        queueTurn()
        services.path.expiry.began(LiveStream(passage.opensWebSocket ? .webSocket : .tunnel), of: passage)
    }

    func send(body: Span<UInt8>) {
        passage.bytesOut += UInt64(body.count)
        if case .chunked = response.framing {
            withOutbound { ChunkWriter.append(body, to: &$0) }
            queueTurn()
        } else if body.count >= directSendBytes {
            sendDirectly(body)
        } else {
            withOutbound { $0.append(body) }
            queueTurn()
        }
    }

    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>) {
        guard response.framing == .chunked, line.id == .other, passage.passes(trailer: bytes.extracting(line.name.range)) else { return }
        var lines = responseTrailers
        responseTrailers = []
        lines.append(field: bytes.extracting(line.name.range), bytes.extracting(line.value.range))
        responseTrailers = lines
    }

    func responseEnded() {
        if passage.encoding != nil, !endEncoding() { return }
        if case .chunked = response.framing {
            let trailers = responseTrailers
            withOutbound { ChunkWriter.appendEnd(trailers: trailers, to: &$0) }
        }
        services.path.finish(passage, isComplete: true)
        responseIsOver()
    }

    func endResponse(of stream: LiveStream) {
        passage.exchange.cancel()
        // A response of a given length cannot end before; where nothing of it has gone out, it need not begin.
        switch response {
        case .held(.length): return responseFailed(stream.ending == .drained ? .busy : .closedEarly)
        case .sending(.length): return responseFailed(.closedEarly)
        default: responseEnded()
        }
    }
    func breakOff() { abort() }

    func closeTunnel() {
        guard let stream = passage.stream else { return }
        if let frame = stream.pendingClose { withOutbound { $0.append(frame) } }
        passage.exchange.leave(saying: stream.lastWord)
        requestBody = .length(.max)
        responseEnded()
    }

    func responseFailed(_ error: ForwardingError) {
        if case .held = response {
            // The client has seen nothing of it yet.
            withOutbound { $0.removeAll() }
            response = .none
            passage.bytesOut = 0
        }
        guard response.framing == nil else {
            // A part of the response is with the client: only a broken connection tells that the rest is missing.
            passage.verdict = .brokenOff(error)
            services.path.finish(passage, isComplete: false)
            state = .broken
            return queueTurn()
        }
        services.path.refuse(passage, passage.lostCredential ?? .forwarding(error))
    }

    func respond(_ reply: Reply) {
        let head = passage.context.head.method == .head
        if services.isDraining || reply.endsConnection { keepAlive = false }
        // A short body is read to its end and thrown away; for a long one, or one that waits for 100, the connection ends.
        if !isRequestComplete {
            if keepAlive, bodyUse != .awaitsContinue, case .length(let remaining) = requestBody, remaining <= discardedBodyBytesMax {
                bodyUse = .discarded
                setReadingPaused(false)
                awaitBody()
            } else {
                keepAlive = false
            }
        }
        let passage = passage
        var queue = exchange(&outbound, with: ByteQueue())
        queue.append("HTTP/1.1 ")
        queue.append(decimal: UInt64(reply.status))
        queue.append(0x20)
        queue.append(Reply.phrase(reply.status))
        queue.append("\r\nDate: ")
        queue.append(TimeText.fieldDate(services.loop.wall))
        queue.append("\r\n")
        queue.append(reply.fields)
        services.path.addedFields.append(passage, to: &queue)
        if reply.hasLength { queue.append("Content-Length: \(reply.body.count)\r\n") }
        ResponseHeadWriter.end(keepAlive: keepAlive, passage.context.head.version, to: &queue)
        if !head {
            queue.append(reply.body)
            passage.bytesOut += UInt64(reply.body.count)
        }
        swap(&queue, &outbound)
        services.path.finish(passage, isComplete: true)
        if bodyUse == .discarded {
            setTimer(after: services.settings.timeouts.body)
            return queueTurn()
        }
        responseIsOver()
    }

    /// The response stands in the send queue to its end: the connection turns to the next request, or closes.
    func responseIsOver() {
        guard state == .exchanging else { return }
        // A client that was not told that the connection closes may already have sent its next request.
        guard keepAlive, isRequestComplete, !services.isStopping else { return closeAfterFlush() }
        state = .readingHead
        bodyUse = .withheld
        setTimer(after: services.settings.timeouts.idle)
        queueTurn()
    }
}

private let directSendBytes = 8_192
private let discardedBodyBytesMax: UInt64 = 65_536
