package import Bytes
package import HTTP1
package import HTTPMessage

/// Writes the head of an upstream's answer as an HTTP/1 client gets it.
package enum ResponseHeadWriter {
    /// Appends status line and fields; what the gateway adds follows, then ``end(keepAlive:_:to:)``.
    ///
    /// - Parameters:
    ///   - framing: of the body as it is sent on.
    ///   - rewriter: nil where no field names a place of the upstream's.
    ///   - dropsCORS: whether the gateway says itself which pages may read the response.
    ///   - own: what the route says in place of the upstream.
    package static func write(
        _ head: borrowing ResponseHead, framing: BodyFraming, _ rewriter: RedirectRewriter?, dropsCORS: Bool = false,
        _ own: ResponseFields? = nil,
        to output: inout ByteQueue
    ) {
        let bytes = head.bytes
        // Neighbours that pass are copied in one piece, the status line with them.
        var runStart = -1
        if head.hasPlainStatusLine { runStart = 0 } else { statusLine(head, to: &output) }
        var isLengthTold = false
        for line in head.fields.lines {
            let tellsLength = !isLengthTold && line.id == .contentLength && framing.isTold(by: line, in: bytes)
            if tellsLength || passes(line, of: head, framing, dropsCORS: dropsCORS, own) {
                if let value = rewriter?.value(of: line, in: bytes) {
                    if runStart >= 0 { output.append(bytes.extracting(runStart..<Int(line.name.start))) }
                    runStart = -1
                    output.append(field: bytes.extracting(line.name.range), value.span)
                    continue
                }
                if tellsLength { isLengthTold = true }
                if runStart < 0 { runStart = Int(line.name.start) }
                continue
            }
            if runStart >= 0 { output.append(bytes.extracting(runStart..<Int(line.name.start))) }
            runStart = -1
        }
        if runStart >= 0 { output.append(bytes.extracting(runStart..<bytes.count - 2)) }
        if !isLengthTold { framing.appendField(to: &output) }
        // What the client is asked to change to stands in a field of this connection (RFC 9110 §15.5.22).
        if head.status == 426, let offered = head.fields.first(.upgrade)?.value.range {
            output.append("Connection: Upgrade\r\nUpgrade: ")
            output.append(bytes.extracting(offered))
            output.appendLineEnd()
        }
    }

    /// Whether a field of the upstream's response reaches the client.
    static func passes(
        _ line: FieldTable.Line, of head: borrowing ResponseHead, _ framing: BodyFraming, dropsCORS: Bool = false,
        _ own: ResponseFields? = nil
    ) -> Bool {
        if line.id.isHopByHop || line.id == .xRequestID { return false }
        if let own, own.drops(head.bytes.extracting(line.name.range)) { return false }
        if dropsCORS, line.id == .other, isAboutPages(head.bytes.extracting(line.name.range)) { return false }
        // Without a body of ours the length is the upstream's word about the resource (HEAD, 304); 204 has none
        // (RFC 9110 §8.6).
        if line.id == .contentLength, framing != .none || head.status == 204 { return false }
        return !head.connection.namesFields || !head.connection.names(head.bytes.extracting(line.name.range), in: head.bytes)
    }

    /// Whether a field says which pages may read the response: Access-Control-*.
    package static func isAboutPages(_ name: Span<UInt8>) -> Bool {
        name.count > 15 && name.extracting(0..<15).equalsIgnoringCase("access-control-")
    }

    /// Appends an interim response (1xx): the fields that would pass in a response whose length is not told.
    package static func writeInterim(
        _ head: borrowing ResponseHead, dropsCORS: Bool = false, _ own: ResponseFields? = nil, to output: inout ByteQueue
    ) {
        statusLine(head, to: &output)
        for line in head.fields.lines where passes(line, of: head, .close, dropsCORS: dropsCORS, own) {
            output.append(field: head.bytes.extracting(line.name.range), head.bytes.extracting(line.value.range))
        }
        output.appendLineEnd()
    }

    /// Appends the Connection field, where the client needs to be told, and the end of the head.
    package static func end(keepAlive: Bool, _ clientVersion: HTTPVersion, to output: inout ByteQueue) {
        if !keepAlive {
            output.append("Connection: close\r\n\r\n")
        } else if clientVersion == .http10 {
            output.append("Connection: keep-alive\r\n\r\n")
        } else {
            output.appendLineEnd()
        }
    }

    private static func statusLine(_ head: borrowing ResponseHead, to output: inout ByteQueue) {
        output.append("HTTP/1.1 ")
        output.append(decimal: UInt64(head.status))
        output.append(0x20)
        output.append(head.bytes.extracting(head.reasonRange.range))
        output.appendLineEnd()
    }
}

extension BodyFraming {
    /// Whether a Content-Length tells it, in the form in which it would be written: one space before the number, nothing behind it.
    fileprivate func isTold(by line: FieldTable.Line, in bytes: Span<UInt8>) -> Bool {
        guard case .length(let count) = self else { return false }
        let (name, place) = (line.name.range, line.value.range)
        let value = bytes.extracting(place)
        return value.decimal(max: .max) == count && (value.count == 1 || value[0] != 0x30)
            && place.lowerBound == name.upperBound + 2 && bytes[place.lowerBound - 1] == 0x20 && bytes[place.upperBound] == 0x0D
    }

    /// Appends the field line that tells it, if there is one.
    func appendField(to output: inout ByteQueue) {
        switch self {
        case .none, .close: break
        case .length(let count):
            output.append("Content-Length: ")
            output.append(decimal: count)
            output.appendLineEnd()
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        }
    }
}

/// The chunked coding, outwards. Source: RFC 9112 §7.1.
package enum ChunkWriter {
    package static func append(_ body: Span<UInt8>, to output: inout ByteQueue) {
        guard !body.isEmpty else { return }
        output.append(hexadecimal: UInt64(body.count))
        output.appendLineEnd()
        output.append(body)
        output.appendLineEnd()
    }

    /// Appends the last chunk, trailer lines and the end.
    package static func appendEnd(trailers: [UInt8], to output: inout ByteQueue) {
        output.append("0\r\n")
        output.append(trailers)
        output.appendLineEnd()
    }
}
