import Authentication
import Bytes
import Compression
import ConfigFile
import System
import Forwarding
import Configuration
import Processes
import HTTP1
import HTTP2
import HTTPMessage
import Import
import Observability
import Redis
import TestSupport

/// What is fuzzed: every parser of bytes from outside, each with what must hold whatever the bytes are. A broken promise is
/// a trap, which the fuzzer and the test that runs the kept inputs both see.
package enum FuzzTarget: String, CaseIterable, Sendable {
    case requestHead, responseHead, chunked, http2Head, http2ResponseHead, http2Session, proxyHeader, webSocketFrames
    case target, authority, forwarded, cookie, jws, json, resp, configuration, nginx, spans, acceptEncoding, dns

    package func run(_ bytes: [UInt8]) {
        switch self {
        case .requestHead: requestHead(bytes)
        case .responseHead: responseHead(bytes)
        case .chunked: chunked(bytes)
        case .http2Head: http2Head(bytes)
        case .http2ResponseHead: http2ResponseHead(bytes)
        case .proxyHeader: proxyHeader(bytes)
        case .webSocketFrames: webSocketFrames(bytes)
        case .http2Session: _ = FuzzedSession(bytes)
        case .target: target(bytes)
        case .authority: authority(bytes)
        case .forwarded: forwarded(bytes)
        case .cookie: cookie(bytes)
        case .jws: jws(bytes)
        case .json: json(bytes)
        case .resp: resp(bytes)
        case .configuration: configuration(bytes)
        case .nginx: nginx(bytes)
        case .spans: spans(bytes)
        case .acceptEncoding: acceptEncoding(bytes)
        case .dns: dns(bytes)
        }
    }

    /// A head reads the same whole and in two pieces.
    private func requestHead(_ bytes: [UInt8]) {
        func read(_ cuts: [Int]) -> String {
            var parser = RequestParser()
            var head = RequestHead()
            do throws(MessageError) {
                for end in cuts {
                    guard case .complete(let consumed) = try parser.parse(bytes.span.extracting(0..<end), into: &head) else { continue }
                    // Without a Host, which most inputs have not, nothing else would be read.
                    if head.fields.count(of: .host) == 0 {
                        head.fields.append(FieldTable.Line(id: .host, name: ByteRange(), value: head.methodRange))
                    }
                    let envelope: String
                    do throws(MessageError) {
                        envelope = "\(try head.envelope())"
                    } catch {
                        envelope = "\(error)"
                    }
                    var text = "\(consumed) \(envelope) \(head.text(head.methodRange)) \(head.text(head.targetRange))"
                    for line in head.fields.lines { text += "|\(head.text(line.name)):\(head.text(line.value))" }
                    return text
                }
                return "more"
            } catch {
                return "refused"
            }
        }
        let whole = read([bytes.count])
        let cut = bytes.first.map { Int($0) % (bytes.count + 1) } ?? 0
        for cuts in [[cut, bytes.count], Array(stride(from: 0, to: bytes.count, by: 5)) + [bytes.count]] {
            let pieces = read(cuts)
            // What came in pieces may be refused at its next line feed, later than the whole; but never read differently.
            precondition(pieces == whole || pieces == "more" && whole == "refused", "a head depends on how it arrives")
        }
    }

    private func responseHead(_ bytes: [UInt8]) {
        func read(_ cuts: [Int]) -> String {
            var parser = ResponseParser()
            var head = ResponseHead()
            do throws(MessageError) {
                for end in cuts {
                    guard case .complete(let consumed) = try parser.parse(bytes.span.extracting(0..<end), into: &head) else { continue }
                    let framing = (try? BodyFraming.of(head, to: .get)).map { "\($0)" } ?? "refused"
                    return "\(consumed) \(head.status) \(framing) \(head.allowsReuse) \(head.fields.count)"
                }
                return "more"
            } catch {
                return "refused"
            }
        }
        let whole = read([bytes.count])
        let cut = bytes.first.map { Int($0) % (bytes.count + 1) } ?? 0
        precondition(read([cut, bytes.count]) == whole, "an answer's head depends on how it arrives")
    }

    /// What is made of the fields of HTTP/2 reads as one head of HTTP/1, with the same fields: nothing in a name or a value
    /// becomes another line.
    ///
    /// The bytes are names and values in turn, each after a byte with its length.
    private func http2Head(_ bytes: [UInt8]) {
        let builder = RequestHeadBuilder()
        let parts = parts(bytes)
        func add(_ pairs: some Sequence<Int>) {
            builder.reset()
            for pair in pairs { builder.add(bytes.span.extracting(parts[pair]), bytes.span.extracting(parts[pair + 1])) }
        }
        let pairs = stride(from: 0, to: parts.count - 1, by: 2)
        var fresh = RequestHead()
        add(pairs)
        let isGood = (try? builder.finish(into: &fresh)) != nil
        // What was there before, of this head or of half of it, is of no consequence.
        var head = RequestHead()
        add(pairs.prefix(pairs.underestimatedCount / 2))
        _ = try? builder.finish(into: &head)
        add(pairs)
        precondition(((try? builder.finish(into: &head)) != nil) == isGood, "a head depends on the one before")
        guard isGood else { return }
        precondition(head.bytes.equals(fresh.bytes) && head.fields.count == fresh.fields.count, "a head depends on the one before")
        var parser = RequestParser()
        var read = RequestHead()
        let text = head.bytes.copied()
        guard case .complete(let consumed)? = try? parser.parse(text.span, into: &read) else {
            preconditionFailure("a head of HTTP/2 is none of HTTP/1")
        }
        precondition(consumed == text.count && read.fields.count == head.fields.count, "a head of HTTP/2 has become another")
        precondition(
            read.text(read.methodRange) == head.text(head.methodRange) && read.text(read.targetRange) == head.text(head.targetRange))
        for (one, other) in zip(read.fields.lines, head.fields.lines) {
            precondition(one.id == other.id && one.name == other.name && one.value == other.value, "a field of HTTP/2 has become another")
        }
        _ = try? head.envelope()
    }

    /// Pieces of the input, each after a byte with its length.
    private func parts(_ bytes: [UInt8]) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var index = 0
        while index < bytes.count {
            let end = min(bytes.count, index + 1 + Int(bytes[index]))
            parts.append((index + 1)..<end)
            index = end
        }
        return parts
    }

    /// As for a request.
    private func http2ResponseHead(_ bytes: [UInt8]) {
        var builder = ResponseHeadBuilder()
        let parts = parts(bytes)
        for pair in stride(from: 0, to: parts.count - 1, by: 2) {
            builder.add(bytes.span.extracting(parts[pair]), bytes.span.extracting(parts[pair + 1]))
        }
        var head = ResponseHead()
        guard (try? builder.finish(into: &head)) != nil else { return }
        var parser = ResponseParser()
        var read = ResponseHead()
        let text = head.bytes.copied()
        guard case .complete(let consumed)? = try? parser.parse(text.span, into: &read) else {
            preconditionFailure("an answer's head of HTTP/2 is none of HTTP/1")
        }
        precondition(consumed == text.count && read.status == head.status && read.fields.count == head.fields.count)
        for (one, other) in zip(read.fields.lines, head.fields.lines) {
            precondition(one.id == other.id && one.name == other.name && one.value == other.value, "a field of HTTP/2 has become another")
        }
        _ = try? BodyFraming.of(head, to: .get)
    }

    /// A reader that asks for bytes gets no more than it asked for, asks for more each time, and comes to an end.
    private func proxyHeader(_ bytes: [UInt8]) {
        var given = 0
        do throws(ProxyProtocol.Malformed) {
            while case .needs(let count) = try ProxyProtocol.read(bytes.span.extracting(0..<given)) {
                precondition(count > given, "a reader asks for what it has")
                guard given < bytes.count else { return }
                given = min(count, bytes.count)
            }
        } catch {}
    }

    /// Frames end at the same places, however their bytes arrive.
    private func webSocketFrames(_ bytes: [UInt8]) {
        var (whole, pieces) = (WebSocketFrames(), WebSocketFrames())
        whole.follow(bytes.span)
        for index in bytes.indices { precondition(pieces.follow(bytes.span.extracting(index..<index + 1)) <= 1) }
        precondition(whole.isBetweenFrames == pieces.isBetweenFrames, "a frame depends on how it arrives")
    }

    /// A body decodes the same in pieces of every size.
    private func chunked(_ bytes: [UInt8]) {
        func decode(_ size: Int) -> (body: [UInt8], isDone: Bool)? {
            var decoder = ChunkedDecoder()
            var queue = ByteQueue()
            var body: [UInt8] = []
            var fed = 0
            do throws(MessageError) {
                while true {
                    switch try decoder.next(queue.readable) {
                    case .needMore(let consumed):
                        queue.drop(consumed)
                        guard fed < bytes.count else { return (body, false) }
                        let end = min(bytes.count, fed + size)
                        queue.append(bytes.span.extracting(fed..<end))
                        fed = end
                    case .data(let range, let consumed):
                        body.append(queue.readable.extracting(range))
                        queue.drop(consumed)
                    case .trailer(_, let consumed): queue.drop(consumed)
                    case .end: return (body, true)
                    }
                }
            } catch {
                return nil
            }
        }
        let whole = decode(max(1, bytes.count))
        let pieces = decode(3)
        precondition(whole?.body == pieces?.body && whole?.isDone == pieces?.isDone, "a body depends on how it arrives")
    }

    /// A normal form is its own normal form and holds nothing that was to be refused; nor does what others make of it.
    private func target(_ bytes: [UInt8]) {
        var first = RequestTarget()
        guard (try? first.normalize(0..<bytes.count, of: bytes.span)) != nil else { return }
        let path = first.path
        var second = RequestTarget()
        do {
            try second.normalize(0..<path.count, of: path.span)
        } catch {
            preconditionFailure("a normal form is refused")
        }
        precondition(second.path == path && second.segments == first.segments, "a normal form has another normal form")
        precondition(path.first == 0x2F && !path.contains { $0 <= 0x20 || $0 >= 0x7F || $0 == 0x5C || $0 == 0x23 || $0 == 0x3F })
        checkSegments(first)
        for reading in (try? PathReadings.all(of: first)) ?? [] {
            var target = RequestTarget()
            do {
                try target.normalize(0..<reading.count, of: reading.span, segmentsMax: .max)
            } catch {
                preconditionFailure("a reading is no path")
            }
            precondition(target.path == reading, "a reading is not in normal form")
            checkSegments(target)
        }
    }

    private func checkSegments(_ target: borrowing RequestTarget) {
        for index in target.segments.indices {
            let decoded = target.decodedSegment(index)
            precondition(decoded != [0x2E] && decoded != [0x2E, 0x2E] && !decoded.contains { $0 < 0x20 }, "a refused segment")
            precondition(!target.doubts.isEmpty || !decoded.contains { $0 == 0x2F || $0 == 0x5C }, "a slash that nobody doubts")
        }
    }

    /// The form in which hosts are compared is a host too, and its own form.
    private func authority(_ bytes: [UInt8]) {
        guard let authority = Authority(bytes.span) else { return }
        precondition(authority.host.lowerBound == 0 && authority.host.upperBound <= bytes.count && !authority.host.isEmpty)
        var form: [UInt8] = []
        authority.appendHost(of: bytes.span, to: &form)
        guard let again = Authority(form.span) else { preconditionFailure("the form of a host is none") }
        var second: [UInt8] = []
        again.appendHost(of: form.span, to: &second)
        precondition(second == form && again.port == nil, "a host has two forms")
        precondition(!form.contains { $0 == 0x2C || $0 == 0x40 || $0 == 0x2F || $0 <= 0x20 }, "a host holds a separator")
    }

    /// Values stand in the order of their elements, without the separators of the field.
    private func forwarded(_ bytes: [UInt8]) {
        var reader = ForwardedReader(range: 0..<bytes.count)
        var end = 0
        while let element = reader.next(in: bytes.span) {
            let values = [element.node, element.scheme, element.host].compactMap { $0 }
            for value in values {
                precondition(value.lowerBound >= end && value.upperBound <= bytes.count && !bytes[value].contains(0x22))
            }
            end = values.map(\.upperBound).max() ?? end
        }
    }

    /// Pairs stand in their order; pieces and the semicolons between them are the field, byte for byte.
    private func cookie(_ bytes: [UInt8]) {
        var pieces = CookiePieces(range: 0..<bytes.count)
        var whole: [[UInt8]] = []
        while let piece = pieces.next(in: bytes.span) {
            precondition(piece.name.lowerBound >= piece.whole.lowerBound && piece.name.upperBound <= piece.whole.upperBound)
            whole.append(Array(bytes[piece.whole]))
        }
        precondition(Array(whole.joined(separator: [0x3B])) == bytes, "a part of a cookie field is lost")
        var reader = CookieReader(range: 0..<bytes.count)
        var end = 0
        while let pair = reader.next(in: bytes.span) {
            precondition(pair.name.lowerBound >= end && pair.value.upperBound <= pair.whole.upperBound && !pair.name.isEmpty)
            end = pair.whole.upperBound
        }
    }

    /// No bytes of a fuzzer's are signed.
    private func jws(_ bytes: [UInt8]) {
        guard let jws = try? CompactJWS(bytes.span) else { return }
        precondition((try? Self.keys.verify(jws, bytes.span)) == nil, "a forged signature")
    }

    private func json(_ bytes: [UInt8]) {
        guard let value = try? JSONReader.read(bytes) else { return }
        let claims = Claims(value)
        _ = claims.scopes(["scope", "scopes"])
        for name in ["sub", "aud", "exp"] { _ = claims.texts(name) }
        _ = try? KeySet(bytes)
    }

    private func resp(_ bytes: [UInt8]) {
        let reader = RedisReplyReader()
        do {
            for start in stride(from: 0, to: bytes.count, by: 7) {
                try reader.feed(bytes.span.extracting(start..<min(bytes.count, start + 7)))
                while try reader.next() != nil {}
            }
        } catch {}
    }

    private func configuration(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let diagnostics = Diagnostics()
        _ = Settings("f", files: MemoryFiles(["f": text]), environment: [:], processors: 2, diagnostics)
        _ = diagnostics.rendered()
    }

    /// Whatever is imported has an outcome for each line, and is a file that passes `check`, but for what only the machine can mend.
    private func nginx(_ bytes: [UInt8]) {
        let files = MemoryFiles(["nginx.conf": String(decoding: bytes, as: UTF8.self)])
        guard let imported = try? NginxImport("nginx.conf", files: files) else { return }
        precondition(imported.record.entries.allSatisfy { !$0.outcomes.isEmpty }, "a line has no outcome")
        let checked = CheckedImport(imported, files: files)
        precondition(
            checked.problems.allSatisfy { $0.contains("cannot read") || $0.contains(" PEM ") || $0 == "there is no route" },
            "what was written does not pass check")
        // What a trial writes for nginx reads as the same directives.
        let again = try? NginxImport("nginx.conf", files: MemoryFiles(["nginx.conf": imported.nginx.map { $0.text() }.joined()]))
        precondition(again?.gateway.count == imported.gateway.count, "what is written of nginx is read as something else")
    }

    /// What passes for a span reads as fields to its end, with the names of a trace and a span of the right length.
    private func spans(_ bytes: [UInt8]) {
        for span in SpanMessage.Reading(bytes)?.spans ?? [] {
            let bytes = span.span
            var reader = ProtobufReader()
            var isRead = false
            while !isRead {
                do {
                    guard let (field, value) = try reader.next(in: bytes) else {
                        isRead = true
                        continue
                    }
                    guard case .bytes(let range) = value, field < 3 else { continue }
                    precondition(range.count == (field == 1 ? 16 : 8), "a name has another length")
                } catch {
                    preconditionFailure("what passes for a span does not read")
                }
            }
        }
    }

    /// A coding that is chosen was offered, and named by the client or covered by its `*`.
    private func acceptEncoding(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        for offered in [[ContentCoding.gzip], [.br, .zstd, .gzip], []] {
            guard let chosen = ContentCoding.chosen(text, of: offered) else { continue }
            precondition(offered.contains(chosen), "what is chosen was not offered")
            let named = text.lowercased().split { " ,;\t".contains($0) }.contains { $0 == chosen.rawValue || $0 == "*" || $0 == "x-gzip" }
            precondition(named, "what is chosen was not asked for")
        }
    }

    /// Names of the DNS end up in fields, logs and checks of certificates: none of them can be anything but a name.
    private func dns(_ bytes: [UInt8]) {
        guard let answer = DNSQuery.read(bytes) else { return }
        for record in answer.records + answer.additional {
            var names = [record.name]
            if case .service(_, _, _, let target) = record.content { names.append(target) }
            for name in names {
                let isName = name.utf8.allSatisfy {
                    (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
                }
                precondition(isName && name.utf8.count <= 253, "a name of the DNS holds what no name does")
            }
        }
    }

    /// The public key of RFC 8037 appendix A.2.
    private static var keys: KeySet {
        let document = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
        guard let keys = try? KeySet([UInt8](document.utf8)) else { preconditionFailure("the key of RFC 8037 is not read") }
        return keys
    }
}
