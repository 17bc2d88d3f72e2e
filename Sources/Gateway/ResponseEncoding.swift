import Routing
import Bytes
import Compression
import Configuration
import Forwarding
import HTTP1
import HTTPMessage

/// The coding of a response's body on its way to the client (RFC 9110 §8.4).
final class ResponseEncoding {
    let encoder: BodyEncoder
    /// What names the coded body in place of the upstream's ETag; empty where there is none.
    let entityTag: [UInt8]
    /// Whether each piece goes out as it comes: nobody knows when the next one will.
    let flushes: Bool
    /// What the route says in the response.
    let responseFields: ResponseFields

    init(encoder: BodyEncoder, entityTag: [UInt8], flushes: Bool, responseFields: ResponseFields) {
        self.responseFields = responseFields
        self.encoder = encoder
        self.entityTag = entityTag
        self.flushes = flushes
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
        guard let rule = compression, isWorthCoding(head, framing, by: rule) else { return }
        let varies = head.bytes
        variesByCoding = !head.fields.lines.contains { line in
            varies.extracting(line.name.range).isNamed("vary")
                && varies.extracting(line.value.range).text.lowercased().contains("accept-encoding")
        }
        guard !mayLeak(head), let coding = ContentCoding.chosen(accepted, of: rule.codings), let encoder = path.encoders.take(coding) else {
            return
        }
        let isLengthKnown = if case .length = framing { true } else { false }
        encoding = ResponseEncoding(
            encoder: encoder, entityTag: weakTag(head), flushes: !isLengthKnown, responseFields: rule.responseFields)
    }

    /// Whether there is a body that is not coded yet, of a kind that gets shorter.
    private func isWorthCoding(_ head: borrowing ResponseHead, _ framing: BodyFraming, by rule: CompressionRule) -> Bool {
        guard head.status >= 200, head.status != 206, !framing.isEmpty, method != .head, !head.isStream,
            let type = head.fields.first(.contentType)?.value.range, rule.takes(head.bytes.extracting(type))
        else { return false }
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
            try encoding.encoder.append(piece, flushes: encoding.flushes, to: &output)
        } catch {
            passage.exchange.cancel()
            return responseFailed(.unexpectedResponse("its body could not be compressed"))
        }
        if !output.isEmpty { send(body: output.span) }
    }

    /// The body is complete: sends what the coder has held back.
    @inline(never) func endEncoding() {
        guard let encoding = passage.takeEncoding() else { return }
        var output: [UInt8] = []
        // A coder that took all pieces has nothing more that could fail than memory.
        try? encoding.encoder.finish(to: &output)
        if !output.isEmpty { send(body: output.span) }
    }
}
