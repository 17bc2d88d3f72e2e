import Authentication
import Bytes
package import EventLoop
package import HTTP1
package import HTTPMessage
package import RateLimiting
package import Routing

/// The client's side of an exchange, whichever version of HTTP it speaks.
package protocol ExchangeDownstream: AnyObject {
    /// An interim answer (1xx but 101).
    func received(interim head: borrowing ResponseHead)
    func received(head: borrowing ResponseHead, framing: BodyFraming)
    func received(body: Span<UInt8>)
    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>)
    func answerEnded()
    /// There will be no answer, or no more of it.
    func answerFailed(_ error: ForwardingError)
    /// Whether more of the answer should come now; ``Exchange/resumeAnswer()`` says when it may again.
    var takesAnswer: Bool { get }
    /// The upstream takes more of the request's body.
    func uploadMayContinue()
}

/// One request on its way to an upstream and the answer on its way back.
///
/// The bodies stream: what one side does not take stops the reading of the other. An exchange is used again for the next
/// request of its connection.
package final class Exchange: UpstreamConnectionClient {
    private weak var downstream: (any ExchangeDownstream)?
    private var connection: UpstreamConnection?
    private var group: UpstreamGroup?
    private var writer: RequestHeadWriter?
    private var context: RequestContext?
    private var identity: Identity?
    private var framing = BodyFraming.none
    private var attempt = 0
    /// Of the place in the group's queue, while there is no connection to be had.
    private var waitTicket: UInt64?
    private var hasHead = false

    /// When the connection was asked for, when the head of the answer came.
    package private(set) var startedAt = Instant.never
    package private(set) var headAt = Instant.never
    /// The server that was used, for the log.
    package private(set) var serverText = ""
    /// Whether the upstream still owes an answer.
    package private(set) var isActive = false

    package init(_ downstream: any ExchangeDownstream) { self.downstream = downstream }

    /// Sends a request that has passed every stage. What goes wrong here is thrown; what goes wrong later is told to the
    /// downstream.
    package func begin(
        _ admission: consuming Admission, _ context: RequestContext, rule: ForwardingRule, filter: FieldFilter, origin: DownstreamOrigin,
        framing: BodyFraming, group: UpstreamGroup, at now: Instant
    ) throws(ForwardingError) {
        identity = admission.identity
        self.context = context
        self.framing = framing
        self.group = group
        writer = RequestHeadWriter(rule: rule, filter: filter, origin: origin)
        attempt = 0
        hasHead = false
        startedAt = now
        headAt = .never
        isActive = true
        do {
            try connect(fresh: false)
        } catch {
            finish()
            throw error
        }
    }

    /// Sends bytes of the request's body.
    package func send(_ bytes: Span<UInt8>) {
        guard let connection else { return }
        if framing == .chunked {
            connection.write { output in ChunkWriter.append(bytes, to: &output) }
        } else {
            connection.send(bytes)
        }
    }

    /// The request's body is complete.
    ///
    /// - Parameter trailers: whole field lines.
    package func endRequest(trailers: [UInt8]) {
        guard let connection else { return }
        if framing == .chunked { connection.write { output in ChunkWriter.appendEnd(trailers: trailers, to: &output) } }
        connection.requestEnded()
    }

    /// Whether there is a connection, so that the request's body can be sent.
    package var isConnected: Bool { connection != nil }

    /// Whether the upstream takes more of the request's body now.
    package var takesUpload: Bool { connection.map { $0.queuedBytes < Limits.sendQueueHighBytes } ?? !isActive }

    package func resumeAnswer() { connection?.resumeReading() }

    /// Gives the exchange up, because the client is gone or its request was wrong.
    package func cancel() {
        let connection = self.connection
        finish()
        connection?.giveUp()
    }

    // MARK: - What the connection tells

    func received(head: borrowing ResponseHead, on connection: UpstreamConnection) {
        if head.status < 200 {
            // The gateway has said 100 itself when it let the request in.
            if head.status != 100 { downstream?.received(interim: head) }
            return
        }
        hasHead = true
        headAt = Clock.now()
        let framing = (try? BodyFraming.of(head, to: requestMethod)) ?? .close
        downstream?.received(head: head, framing: framing)
        pauseIfFull(connection)
    }

    func received(body: Span<UInt8>, on connection: UpstreamConnection) {
        downstream?.received(body: body)
        pauseIfFull(connection)
    }

    func received(trailer line: FieldTable.Line, in bytes: Span<UInt8>, on connection: UpstreamConnection) {
        downstream?.received(trailer: line, in: bytes)
    }

    func answerEnded(on connection: UpstreamConnection) {
        finish()
        downstream?.answerEnded()
    }

    func failed(_ error: ForwardingError, on connection: UpstreamConnection) {
        self.connection = nil
        var outcome = error
        do {
            if try retry(after: error, on: connection) { return }
        } catch {
            outcome = error
        }
        fail(outcome)
    }

    func sendQueueDrained(on connection: UpstreamConnection) { downstream?.uploadMayContinue() }

    // MARK: -

    private var requestMethod: Method { context?.head.method ?? .other }

    private func connect(fresh: Bool) throws(ForwardingError) {
        guard let group, let context, let writer else { return }
        // What cannot be written must not cost a connection.
        let lines = try writer.ownLines(context, identity)
        guard fresh || !group.hasWaiting || waitTicket != nil, let connection = try group.acquire(fresh: fresh) else {
            if waitTicket == nil { waitTicket = group.wait(self) }
            return
        }
        waitTicket = nil
        use(connection)
        let (identity, framing, server) = (identity, framing, connection.server.hostText)
        do {
            try connection.write { (output: inout ByteQueue) throws(ForwardingError) in
                try writer.write(context, identity, ownLines: lines, framing, server: server, to: &output)
            }
        } catch {
            connection.close()
            throw error
        }
        if framing == .none || framing == .length(0) { connection.requestEnded() }
    }

    private func use(_ connection: UpstreamConnection) {
        self.connection = connection
        serverText = connection.server.address.text
        connection.begin(self, method: requestMethod)
    }

    /// Tries again to begin, after waiting.
    ///
    /// - Returns: whether the place in the queue is free.
    func connectionMayBeHad(_ ticket: UInt64) -> Bool {
        guard ticket == waitTicket else { return true }
        do {
            try connect(fresh: false)
        } catch {
            fail(error)
            return true
        }
        guard waitTicket == nil else { return false }
        downstream?.uploadMayContinue()
        return true
    }

    func waitedInVain(_ ticket: UInt64) { if ticket == waitTicket { fail(.busy) } }

    private func fail(_ error: ForwardingError) {
        finish()
        downstream?.answerFailed(error)
    }

    /// Sends the request once more where that is safe, and says whether it did.
    ///
    /// A request that never set out, because its connection did not open or was found closed, may go to another server. A
    /// connection that was kept alive may have been closed by the server at the moment of its next use: then an idempotent
    /// request without a body goes out again.
    private func retry(after error: ForwardingError, on failed: UpstreamConnection) throws(ForwardingError) -> Bool {
        guard !hasHead, let group, let context else { return false }
        if failed.hasUnsentRequest {
            guard failed.isReused || attempt + 1 < min(group.addressCount, Limits.connectAttemptsMax) else { return false }
            if !failed.isReused { attempt += 1 }
            guard let connection = try group.acquire(fresh: true) else { return false }
            use(connection)
            failed.moveUnsent(to: connection)
            return true
        }
        guard error == .closedEarly, failed.isReused, !failed.hasAnswerBegun, attempt == 0, framing == .none,
            context.head.method.isIdempotent
        else { return false }
        attempt += 1
        try connect(fresh: true)
        return true
    }

    private func pauseIfFull(_ connection: UpstreamConnection) {
        if let downstream, !downstream.takesAnswer { connection.pauseReading() }
    }

    private func finish() {
        isActive = false
        waitTicket = nil
        connection = nil
        identity = nil
        context = nil
        group = nil
        writer = nil
    }
}
