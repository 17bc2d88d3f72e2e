import Time
import RateLimiting
import Bytes
import Configuration
import HTTP2
import HTTPMessage
import Observability
import System

/// What the session tells: which stream each head, body and end belongs to, and frames that carry no request.
extension HTTP2Connection: SessionHandler {
    func headBegan(_ stream: StreamID, isFirst: Bool) {
        headOf = stream
        if let readTimer { services.loop.set(readTimer, after: services.settings.timeouts.head) }
        trailersOf = isFirst ? nil : streams.find(stream)
        guard isFirst else { return trailersOf?.trailersBegan() ?? () }
        headsInTurn += 1
        builder.reset()
    }

    func field(_ name: Span<UInt8>, _ value: Span<UInt8>, _ stream: StreamID) -> Bool {
        if let trailersOf {
            trailersOf.received(trailer: name, value)
            return state == .open
        }
        let decoded = builder.add(name, value)
        // What is compressed into a few bytes costs its sender nothing: nobody needs many times the size that was announced.
        if decoded > services.settings.clientLimits.head.bytes * 4 { endFlood() }
        return state == .open && headsInTurn <= headsPerTurn
    }

    func invalidField(_ stream: StreamID) {
        if let known = streams.find(stream) { known.isTrailerWrong() } else { builder.refuse() }
    }

    func headEnded(_ stream: StreamID, isFirst: Bool, endsStream: Bool) {
        headIsOver()
        guard state == .open else { return }
        if let known = streams.find(stream) {
            if endsStream { known.requestEnded() }
            return
        }
        guard isFirst else { return }
        requestCount += 1
        expectedUpdates += Self.updatesPerFrame
        if requestCount >= services.settings.clientLimits.requestsPerConnection {
            beginGracefulShutdown()
        }
        let new = streams.begin(stream, on: self)
        new.begin(stream, builder, endsStream: endsStream)
        queueTurn()
    }

    private func headIsOver() {
        headOf = nil
        trailersOf = nil
        readTimer?.clear()
        if let readTimer, shutdownAt != .never { services.loop.set(readTimer, at: shutdownAt) }
    }

    func received(body: Span<UInt8>, _ stream: StreamID) { streams.find(stream)?.received(body) }
    func bodyEnded(_ stream: StreamID) { streams.find(stream)?.requestEnded() }

    func closed(_ stream: StreamID, code: UInt32) {
        let known = streams.end(stream)
        guard known != nil || headOf == stream else { return }
        // Where nghttp2 refuses a stream for a head, it does not tell of that head's end. Of one whose end has not come the rest is
        // still waited for, and no longer than for any other.
        if headOf == stream, !session.isHeadOpen { headIsOver() }
        if let known {
            _ = dropHead(of: stream)
            known.abandoned()
            streams.keep(known)
        }
        guard streams.isEmpty, state == .open, headOf == nil else { return }
        if isShuttingDown {
            session.endAfterOpenStreams()
        } else if let readTimer {
            services.loop.set(readTimer, after: services.settings.timeouts.idle)
        }
    }

    func nextBody(_ stream: StreamID, atMost: Int) -> BodyStep { streams.find(stream)?.nextBody(atMost: atMost) ?? .broken }

    func holdsBody(_ stream: StreamID, _ count: Int) -> Bool { streams.find(stream)?.holdsBody(count) ?? false }
    func requestNotSent(_ stream: StreamID) {}

    func moveBody(_ stream: StreamID, _ count: Int, to output: inout ByteQueue) {
        expectedUpdates += Self.updatesPerFrame
        streams.find(stream)?.moveBody(count, to: &output)
    }

    func trailers(_ stream: StreamID, _ body: (borrowing FieldBlock) -> Void) {
        if let known = streams.find(stream) { known.withResponseTrailers { body($0) } }
    }

    func received(_ frame: ControlFrame) {
        // Who has said hello may take its time with the first request.
        if frame == .settings, requestCount == 0, headOf == nil, !isShuttingDown, let readTimer {
            services.loop.set(readTimer, after: services.settings.timeouts.idle)
        }
        switch frame {
        case .windowUpdate where expectedUpdates > 0: expectedUpdates -= 1
        case .reset: if !resets.spend(at: services.loop.now) { endFlood() }
        default: if !controlFrames.spend(at: services.loop.now) { endFlood() }
        }
    }

    func sentEnd(_ stream: StreamID) { streams.find(stream)?.responseSent() }
    func sentReset(_ stream: StreamID, code: UInt32) {
        switch code {
        case StreamCode.protocolError, StreamCode.streamClosed, StreamCode.flowControl, StreamCode.refused:
            // What a client has us reset costs it as little as what it resets.
            if !resets.spend(at: services.loop.now) { endFlood() }
        default: break
        }
        guard code == StreamCode.protocolError else { return }
        streams.find(stream)?.wasMalformed()
    }
    func settingsChanged() {}
    func received(goAway lastStream: StreamID, code: UInt32) { isShuttingDown = true }

    private func endFlood() {
        guard state == .open else { return }
        services.counters.add(.floodsEnded)
        endBadly(StreamCode.enhanceYourCalm)
    }

    func endBadly(_ code: UInt32) {
        session.terminate(code)
        closeAfterFlush()
    }
}
