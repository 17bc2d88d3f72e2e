import Routing
import Bytes
import Compression
import Configuration
import Forwarding
import HTTP1
import HTTPMessage
import System

/// The coding of a response's body on its way to the client (RFC 9110 §8.4).
final class ResponseEncoding: EndOfTurnHandler {
    let encoder: BodyEncoder
    /// What names the coded body in place of the upstream's ETag; empty where there is none.
    let entityTag: [UInt8]
    /// Whether what has come goes out at the end of each turn: nobody knows when there will be more.
    private let flushes: Bool
    private var isQueued = false
    /// Until the turn is over; a weak reference would make every count of the passage slow (decision 009).
    private var passage: Passage?
    /// What the route says in the response.
    let responseFields: ResponseFields

    init(encoder: BodyEncoder, entityTag: [UInt8], flushes: Bool, responseFields: ResponseFields) {
        self.responseFields = responseFields
        self.encoder = encoder
        self.entityTag = entityTag
        self.flushes = flushes
    }

    func pieceCame(of passage: Passage) {
        guard flushes, !isQueued else { return }
        isQueued = true
        self.passage = passage
        passage.path.loop.atEndOfTurn(self)
    }

    func turnEnded() {
        isQueued = false
        let passage = self.passage
        self.passage = nil
        guard let passage, passage.encoding === self else { return }
        passage.frontEnd?.flushEncoding()
    }
}

/// The coders of a worker: each holds up to a megabyte, so there is a bound to them. What is beyond it goes on as it is.
final class BodyEncoders {
    private var left = encodersMax

    func take(_ coding: ContentCoding) -> BodyEncoder? {
        guard left > 0, let encoder = BodyEncoder(coding) else { return nil }
        left -= 1
        return encoder
    }

    func giveBack() { left += 1 }
}

private let encodersMax = 128

extension Passage {
    /// Has the body of an upstream's response coded from here on, on a route that compresses.
    @inline(never) func beginEncoding(_ head: borrowing ResponseHead, _ framing: BodyFraming) {
        guard let rule = compression, !isGRPC, isOfKind(head, rule) else { return }
        let bytes = head.bytes
        let vary = "vary".utf8
        // What the route takes out of the upstream's head tells nobody.
        let isTold =
            !(responseFields?.drops(vary.span) ?? false)
            && head.fields.lines.contains { line in
                bytes.extracting(line.name.range).isNamed("vary")
                    && bytes.extracting(line.value.range).text.lowercased().contains("accept-encoding")
            }
        variesByCoding = !isTold
        guard isWorthCoding(head, framing, by: rule), !mayLeak(head), let coding = ContentCoding.chosen(accepted, of: rule.codings),
            let encoder = path.encoders.take(coding)
        else { return }
        let isLengthKnown = if case .length = framing { true } else { false }
        encoding = ResponseEncoding(
            encoder: encoder, entityTag: weakTag(head), flushes: !isLengthKnown, responseFields: rule.responseFields)
    }

    /// Whether another client's response of this kind might be coded: that of GET, where this is one of HEAD or says that nothing has changed.
    private func isOfKind(_ head: borrowing ResponseHead, _ rule: CompressionRule) -> Bool {
        if head.status == 304 { return true }
        guard head.status >= 200, let type = head.fields.first(.contentType)?.value.range, !head.isStream else { return false }
        return rule.takes(head.bytes.extracting(type))
    }

    /// Whether there is a body that is not coded yet, and long enough.
    private func isWorthCoding(_ head: borrowing ResponseHead, _ framing: BodyFraming, by rule: CompressionRule) -> Bool {
        guard head.status != 206, head.status != 304, !framing.isEmpty, method != .head else { return false }
        if case .length(let count) = framing, count < rule.bytesMin { return false }
        for line in head.fields.lines where line.id == .other {
            let name = head.bytes.extracting(line.name.range)
            if name.isNamed("content-encoding") || name.isNamed("content-range") { return false }
            // Who says so wants the bytes as they are (RFC 9111 §5.2.2.6).
            if name.isNamed("cache-control"), head.bytes.extracting(line.value.range).text.lowercased().contains("no-transform") {
                return false
            }
        }
        return true
    }

    /// Whether the length of the coded body could tell a secret in it to who can put guesses beside it (BREACH): where the response sets a
    /// cookie, and where the request has a credential. A browser's own page may read it anyway, so that there is nothing to guess.
    private func mayLeak(_ response: borrowing ResponseHead) -> Bool {
        if response.fields.has(.setCookie) || context.head.fields.has(.authorization) { return true }
        guard identity != nil || context.head.fields.has(.cookie) else { return false }
        guard let site = context.head.value(.secFetchSite).map({ context.head.copy(ByteRange($0)) }) else { return true }
        return site != Array("same-origin".utf8) && site != Array("none".utf8)
    }

    private var accepted: String {
        var values: [String] = []
        for line in context.head.fields.lines where context.head.text(line.name).lowercased() == "accept-encoding" {
            values.append(context.head.text(line.value))
        }
        return values.joined(separator: ",")
    }

    /// A strong tag names the bytes, which are others now (RFC 9110 §8.8.3).
    private func weakTag(_ head: borrowing ResponseHead) -> [UInt8] {
        let name = "etag".utf8
        if responseFields?.drops(name.span) ?? false { return [] }
        guard let line = head.fields.first(named: name.span, in: head.bytes) else { return [] }
        let tag = head.bytes.extracting(line.value.range).copied()
        return tag.starts(with: "W/".utf8) ? tag : Array("W/".utf8) + tag
    }
}

extension Span<UInt8> {
    fileprivate func isNamed(_ name: String) -> Bool {
        let utf8 = name.utf8
        return count == utf8.count && equalsIgnoringCase(utf8.span)
    }
}

extension PassageFrontEnd {
    /// Sends a piece of the body, coded.
    @inline(never) func sendEncoded(_ piece: Span<UInt8>, by encoding: ResponseEncoding) {
        var output: [UInt8] = []
        do {
            try encoding.encoder.append(piece, to: &output)
        } catch {
            return encodingFailed()
        }
        if !output.isEmpty { send(body: output.span) }
        encoding.pieceCame(of: passage)
    }

    /// What has come so far goes out.
    func flushEncoding() {
        guard let encoding = passage.encoding else { return }
        var output: [UInt8] = []
        do {
            try encoding.encoder.flush(to: &output)
        } catch {
            return encodingFailed()
        }
        if !output.isEmpty { send(body: output.span) }
    }

    private func encodingFailed() {
        passage.exchange.cancel()
        responseFailed(.unexpectedResponse("its body could not be compressed"))
    }

    /// The body is complete: sends what the coder has held back.
    ///
    /// - Returns: false where that fails, which the client has been told.
    @inline(never) func endEncoding() -> Bool {
        guard let encoding = passage.takeEncoding() else { return true }
        var output: [UInt8] = []
        do {
            try encoding.encoder.finish(to: &output)
        } catch {
            encodingFailed()
            return false
        }
        if !output.isEmpty { send(body: output.span) }
        return true
    }
}
