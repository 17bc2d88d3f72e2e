import Bytes
import Configuration
import Connection
import Forwarding
import HTTPMessage
import Policy
import System
import TLS

/// Taking bytes from the client: when to read, how much of it to keep, what the end of its side means.
extension HTTP1Connection {
    func receive() {
        // The end of the turn resets the connection; an end that is read before must not end it in good order.
        if state == .broken { return }
        if state == .flushing || state == .lingering { return linger() }
        // The queue is taken out, so that nothing done on the way meets it half read.
        var queue = exchange(&inbound, with: ByteQueue())
        queue.prepare(from: services.buffers)
        let outcome = io.receive(to: &queue, minimum: max(2_048, queue.capacity - queue.count))
        process(&queue)
        guard state != .closed else { return }
        if case .moved(let count) = outcome { checkUpload(count) }
        guard state != .closed else { return }
        putBack(&queue)
        switch outcome {
        case .moved, .wouldBlock: break
        case .ended: return peerEnded()
        case .failed: return abort(isPeerGone: true)
        }
        if io.holdsMore, !isReadingPaused { queueTurn() }
    }

    /// So many bytes have come, and the body is still not complete.
    private func checkUpload(_ count: Int) {
        guard state == .exchanging, takesBody, !isRequestComplete, !isTunnel else { return }
        var progress = upload
        let isFastEnough = progress.moved(count, at: services.loop.now, atLeast: services.settings.clientLimits.uploadRate)
        upload = progress
        if !isFastEnough { brokenBody(.bodyTooSlow) }
    }

    /// Goes on with what is there already, and reads more only where the session holds it.
    func advance() {
        if io.holdsMore, inbound.count < Limits.streamBytes { return receive() }
        var queue = exchange(&inbound, with: ByteQueue())
        process(&queue)
        guard state != .closed else { return }
        putBack(&queue)
        if hasPeerEnded { peerEnded() }
    }

    private func putBack(_ queue: inout ByteQueue) {
        queue.release(to: services.buffers)
        swap(&queue, &inbound)
        // Requests that follow one another without waiting are read up to a bound; a body, as far as the upstream takes it.
        let awaitsUpstream = state == .exchanging && takesBody && !isRequestComplete && !passageTakesUpload
        if awaitsUpstream { clearTimer() }
        setReadingPaused(inbound.count >= Limits.streamBytes || awaitsUpstream || hasPeerEnded)
    }

    var passageTakesUpload: Bool { bodyUse == .discarded || passage.exchange.takesUpload }

    /// From here on the client is waited for, if it is read.
    func awaitBody() { if !isReadingPaused { waitForUpload(true) } }

    private func waitForUpload(_ waits: Bool) {
        var progress = upload
        if waits { progress.beginWaiting(at: services.loop.now) } else { progress.endWaiting(at: services.loop.now) }
        upload = progress
    }

    func setReadingPaused(_ paused: Bool) {
        guard paused != isReadingPaused else { return }
        isReadingPaused = paused
        waitForUpload(!paused)
        updateInterest()
        if !paused { queueTurn() }
    }

    /// The client has ended its side.
    private func peerEnded() {
        switch state {
        case .readingHead where !inbound.isEmpty && wasStoppedByResponses:
            // Requests that it sent before wait for room for their responses.
            hasPeerEnded = true
            setReadingPaused(true)
        case .readingHead where outbound.isEmpty: close()
        case .readingHead: closeAfterFlush()
        // One of those requests is under way; the others follow.
        case .exchanging where isTunnel:
            // What it has said goes on first.
            guard inbound.isEmpty else {
                hasPeerEnded = true
                return setReadingPaused(true)
            }
            requestBody = .complete
            setReadingPaused(true)
            passage.exchange.endRequest(trailers: [])
        case .exchanging where hasPeerEnded && (isRequestComplete || !inbound.isEmpty): break
        // It has its response; the body that was thrown away stays short.
        case .exchanging where bodyUse == .discarded: closeAfterFlush()
        case .exchanging: abort(isPeerGone: true)
        case .flushing, .lingering, .broken, .closed: break
        }
    }

    /// Throws away what a client still sends after its last response, so that the response is not lost to a reset.
    private func linger() {
        var queue = ByteQueue()
        queue.prepare(from: services.buffers)
        let outcome = io.receive(to: &queue, minimum: 4_096)
        queue.removeAll()
        queue.release(to: services.buffers)
        switch outcome {
        case .moved: if outbound.isEmpty { setLingerTimer() }
        case .wouldBlock: break
        // Who has said its last word still gets the response to it: only reading is over.
        case .ended where !outbound.isEmpty: setReadingPaused(true)
        case .ended, .failed: close()
        }
    }
}
