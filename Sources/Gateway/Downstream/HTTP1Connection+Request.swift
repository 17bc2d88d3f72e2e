import Connection
import Bytes
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import Observability
import Policy
import Routing
import System

/// Reading requests: heads, then bodies as far as the upstream takes them.
extension HTTP1Connection {
    /// Reads all that the present state can use.
    func process(_ queue: inout ByteQueue) {
        while !queue.isEmpty {
            switch state {
            case .readingHead:
                // A client that sends requests and reads no responses has to wait.
                guard takesResponse else {
                    wasStoppedByResponses = true
                    return
                }
                guard readHead(&queue) else { return }
            case .exchanging:
                guard takesBody, !isRequestComplete, bodyUse == .discarded || passage.exchange.takesUpload else { return }
                guard readBody(&queue) else { return }
            case .flushing, .lingering, .broken, .closed: return
            }
        }
    }

    /// False when the head is not complete, or the connection takes no more requests.
    private func readHead(_ queue: inout ByteQueue) -> Bool {
        let isFirstPart = !parser.isInsideHead
        let result: HeadResult
        var parser = parser
        do {
            result = try parser.parse(queue, into: &passage.context.head)
            self.parser = parser
        } catch {
            self.parser = parser
            parser.keepRefused(queue, in: &passage.context.head)
            queue.removeAll()
            refuseHead(.malformed(error))
            return false
        }
        guard case .complete(let consumed) = result else {
            if isFirstPart { setTimer(after: services.settings.timeouts.head) }
            return false
        }
        queue.drop(consumed)
        clearTimer()
        beginRequest()
        return true
    }

    /// The head is complete: the request sets out on its path.
    private func beginRequest() {
        state = .exchanging
        requestCount += 1
        let passage = passage
        passage.begin(for: self, of: client, services)
        if !requestTrailers.isEmpty { requestTrailers = [] }
        if !responseTrailers.isEmpty { responseTrailers = [] }
        response = .none
        upload = MinimumRate()
        bodyUse = .withheld
        requestBody = .complete
        keepAlive = false
        let wantsKeepAlive: Bool
        do throws(MessageError) {
            wantsKeepAlive = try readEnvelope(passage)
        } catch {
            // Where the request ends is in doubt, so nothing after it is read.
            services.path.refuse(passage, .malformed(error))
            return
        }
        let isLast = requestCount >= services.settings.clientLimits.requestsPerConnection
        keepAlive = wantsKeepAlive && !isLast
        if let redirect = client.redirect {
            services.path.enter(passage, by: redirect)
        } else if let decisions = client.decisions {
            services.path.enter(passage, deciding: decisions, services)
        } else {
            services.path.enter(passage)
        }
    }

    /// Returns whether the client wants to keep the connection.
    private func readEnvelope(_ passage: Passage) throws(MessageError) -> Bool {
        let envelope = try passage.readEnvelope()
        switch envelope.framing {
        case .none, .close, .length(0): requestBody = .complete
        case .length(let count): requestBody = .length(count)
        case .chunked: requestBody = .chunked(ChunkedDecoder())
        }
        switch envelope.expectation {
        case .none: break
        case .leaveToSend: if !isRequestComplete { bodyUse = .awaitsContinue }
        case .unknown: throw .unknownExpectation
        }
        return envelope.wantsKeepAlive
    }

    /// False when no more can be read now.
    private func readBody(_ queue: inout ByteQueue) -> Bool {
        if isTunnel {
            if passage.stream?.passUp(queue.readable) ?? true { forward(queue.readable) }
            queue.removeAll()
            return false
        }
        setTimer(after: services.settings.timeouts.body)
        switch requestBody {
        case .complete, .tunnel: return false
        case .length(let remaining):
            let count = Int(min(UInt64(queue.count), remaining))
            forward(queue.readable.extracting(0..<count))
            queue.drop(count)
            requestBody = .length(remaining - UInt64(count))
            if UInt64(count) == remaining { endBody() }
            return true
        case .chunked(var decoder):
            do {
                let event = try decoder.next(queue.readable)
                requestBody = .chunked(decoder)
                return readChunk(event, &queue)
            } catch {
                queue.removeAll()
                brokenBody(.malformed(error))
                return false
            }
        }
    }

    private func readChunk(_ event: ChunkedDecoder.Event, _ queue: inout ByteQueue) -> Bool {
        switch event {
        case .needMore(let consumed):
            queue.drop(consumed)
            return false
        case .data(let range, let consumed):
            if let most = passage.route?.bodyBytesMax, passage.bytesIn + UInt64(range.count) > most {
                queue.removeAll()
                brokenBody(.bodyTooLarge)
                return false
            }
            forward(queue.readable.extracting(range))
            queue.drop(consumed)
            return true
        case .trailer(let line, let consumed):
            keepTrailer(line, queue.readable)
            queue.drop(consumed)
            return true
        case .end(let consumed):
            queue.drop(consumed)
            endBody()
            return true
        }
    }

    /// A trailer is passed on unless it could change how the head is understood (RFC 9110 §6.5.1) or bears a name that the
    /// gateway vouches for.
    private func keepTrailer(_ line: FieldTable.Line, _ bytes: Span<UInt8>) {
        let name = bytes.extracting(line.name.range)
        guard line.id == .other, passage.passes(requestTrailer: name, services.settings.fieldFilter) else { return }
        var lines = requestTrailers
        requestTrailers = []
        lines.append(field: name, bytes.extracting(line.value.range))
        requestTrailers = lines
    }

    private func forward(_ bytes: Span<UInt8>) {
        passage.bytesIn += UInt64(bytes.count)
        if bodyUse != .discarded { passage.exchange.send(bytes) }
    }

    private func endBody() {
        requestBody = .complete
        clearTimer()
        if bodyUse == .discarded { return responseIsOver() }
        passage.exchange.endRequest(trailers: requestTrailers)
    }

    /// The body turned out wrong on its way.
    func brokenBody(_ refusal: Refusal) {
        keepAlive = false
        if bodyUse == .discarded { return closeAfterFlush() }
        passage.exchange.cancel()
        guard response.framing == nil else { return abort() }
        services.path.refuse(passage, refusal)
    }

    /// Refuses what never became a request; what is known of its head stands in the passage.
    func refuseHead(_ refusal: Refusal) {
        passage.begin(for: self, of: client, services)
        response = .none
        bodyUse = .withheld
        keepAlive = false
        // What follows is thrown away.
        requestBody = .length(.max)
        state = .exchanging
        services.path.refuse(passage, refusal)
    }
}
