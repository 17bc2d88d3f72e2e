import Authentication
import Bytes
import ConfigFile
import HTTP1
import HTTPMessage
import Routing
import System

/// The pieces of a request's head as an upstream gets it.
enum RequestHeadWriter {
    static func requestLine(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, _ rule: ForwardingRule, _ filter: FieldFilter,
        to output: inout ByteQueue
    ) throws(ForwardingError) {
        output.append(head.bytes.extracting(head.methodRange.range))
        output.append(0x20)
        try path(head, target, rule, filter, to: &output)
        output.append(version)
    }

    /// The path as the route has it sent, with the query.
    static func path(
        _ head: borrowing RequestHead, _ target: borrowing RequestTarget, _ rule: ForwardingRule, _ filter: FieldFilter,
        to output: inout ByteQueue
    ) throws(ForwardingError) {
        if rule.strippedSegments == 0, rule.addedPrefix.isEmpty {
            output.append(target.pathSpan)
        } else {
            let path = try rewrittenPath(target, rule)
            output.append(path)
        }
        if !target.query.isEmpty { filter.append(query: target.query.range, in: head.bytes, to: &output) }
    }

    /// The path with its prefix replaced; checked by the same rules as the one that came in.
    private static func rewrittenPath(_ target: borrowing RequestTarget, _ rule: ForwardingRule) throws(ForwardingError) -> [UInt8] {
        guard target.segments.count >= rule.strippedSegments else { throw .pathUnusable }
        var path = rule.addedPrefix
        for segment in target.segments[rule.strippedSegments...] {
            path.append(0x2F)
            path.append(target.pathSpan.extracting(segment.range))
        }
        if path.isEmpty || target.endsWithSlash && path[path.count - 1] != 0x2F { path.append(0x2F) }
        var check = RequestTarget()
        do {
            try check.normalize(0..<path.count, of: path.span, segmentsMax: .max)
        } catch {
            throw .pathUnusable
        }
        // Two slashes at the beginning, which were not there before, are an authority to some.
        guard check.pathSpan.equals(path), !path.starts(with: [0x2F, 0x2F]) else { throw .pathUnusable }
        if rule.addedPrefix.isEmpty, !check.doubts.isEmpty {
            guard let readings = try? PathReadings.all(of: check), !readings.contains(where: { $0.starts(with: [0x2F, 0x2F]) }) else {
                throw .pathUnusable
            }
        }
        return path
    }

    /// Host, and the client's own fields that pass the filter. Neighbours that pass are copied in one piece.
    static func fields(
        _ head: borrowing RequestHead, _ authority: ByteRange?, _ filter: FieldFilter, _ rule: ForwardingRule, server: String,
        sender: FieldFilter.Sender, to output: inout ByteQueue
    ) {
        let name = hostName.span
        switch rule.host {
        case .set(let text):
            let utf8 = text.utf8
            output.append(field: name, utf8.span)
        case .keep:
            // HTTP/1.0 may come without; an HTTP/1.1 request has one (RFC 9112 §3.2).
            if let authority {
                output.append(field: name, head.bytes.extracting(authority.range))
            } else {
                let utf8 = server.utf8
                output.append(field: name, utf8.span)
            }
        }
        let bytes = head.bytes
        let (namesFields, removesFields) = (head.connection.namesFields, rule.removesFields)
        var runStart = -1
        for line in head.fields.lines {
            let start = Int(line.name.start)
            var verdict = filter.verdict(on: line, in: bytes, from: sender)
            if namesFields, verdict != .drop, head.connection.names(bytes.extracting(line.name.range), in: bytes) { verdict = .drop }
            if removesFields, rule.removes(bytes.extracting(line.name.range)) { verdict = .drop }
            if verdict == .keep {
                if runStart < 0 { runStart = start }
                continue
            }
            if runStart >= 0 { output.append(bytes.extracting(runStart..<start)) }
            runStart = -1
            if verdict == .rewrite { filter.appendCookies(line, in: bytes, keeping: rule.keptCookies, to: &output) }
        }
        // The head ends with an empty line, which is written later.
        if runStart >= 0 { output.append(bytes.extracting(runStart..<bytes.count - 2)) }
    }

    static func bearer(_ token: [UInt8], to output: inout ByteQueue) {
        output.append("Authorization: Bearer ")
        output.append(token)
        output.appendLineEnd()
    }
}

private let hostName = [UInt8]("Host")
private let version = [UInt8](" HTTP/1.1\r\n")
