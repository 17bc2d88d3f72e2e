import Bytes
package import HTTPMessage

/// Reads a body in the chunked coding, as bytes arrive. Source: RFC 9112 §7.1.
package struct ChunkedDecoder {
    package enum Event {
        /// So many bytes are used up; more are needed.
        case needMore(consumed: Int)
        /// A run of body bytes, at `body` of the input.
        case data(body: Range<Int>, consumed: Int)
        /// One trailer field; its ranges index into the input.
        case trailer(FieldTable.Line, consumed: Int)
        case end(consumed: Int)
    }

    private enum State: Equatable {
        case size(value: UInt64, digits: Int)
        /// White space behind a size, which some servers write to a fixed width.
        case padding
        case chunkExtension(ExtensionPart)
        case sizeLineFeed
        case data(remaining: UInt64)
        case dataCarriageReturn
        case dataLineFeed
        case trailers
        case done
    }

    /// `;name`, `;name=token` or `;name="quoted"`; what they say is dropped.
    private enum ExtensionPart: Equatable {
        case nameStart, name, valueStart, value, quoted, quotedPair, quotedEnd
    }

    private var state = State.size(value: 0, digits: 0)
    private var chunkSize: UInt64 = 0
    private var lineBytes = 0
    private var trailerBytes = 0
    private var trailerCount = 0

    private let takesPadding: Bool

    /// - Parameter takesPadding: whether white space may stand behind a chunk's size: of a server's, never of a client's.
    package init(takesPadding: Bool = false) { self.takesPadding = takesPadding }

    package var isDone: Bool { state == .done }

    /// Reads on in `input`, all bytes that are not used up yet.
    ///
    /// Call it again, past the consumed bytes, until it needs more or has come to the end.
    package mutating func next(_ input: Span<UInt8>) throws(MessageError) -> Event {
        var index = 0
        while index < input.count {
            let byte = input[index]
            switch state {
            case .size(let value, let digits):
                if let digit = ASCII.hexValue(byte) {
                    guard digits < 15 else { throw .badChunkSize }
                    state = .size(value: value << 4 | UInt64(digit), digits: digits + 1)
                } else {
                    guard digits > 0 else { throw .badChunkSize }
                    chunkSize = value
                    switch byte {
                    case 0x0D: state = .sizeLineFeed
                    case 0x3B: state = .chunkExtension(.nameStart)
                    case 0x0A: throw .bareLineFeed
                    case 0x20 where takesPadding, 0x09 where takesPadding: state = .padding
                    default: throw .badChunkSize
                    }
                }
                index += 1
                try countLineByte()
            case .padding:
                switch byte {
                case 0x20, 0x09: break
                case 0x0D: state = .sizeLineFeed
                case 0x3B: state = .chunkExtension(.nameStart)
                default: throw byte == 0x0A ? .bareLineFeed : .badChunkSize
                }
                index += 1
                try countLineByte()
            case .chunkExtension(let part):
                state = try Self.next(part, byte)
                index += 1
                try countLineByte()
            case .sizeLineFeed:
                guard byte == 0x0A else { throw .bareCarriageReturn }
                index += 1
                lineBytes = 0
                state = chunkSize == 0 ? .trailers : .data(remaining: chunkSize)
            case .data(let remaining):
                let taken = Int(min(UInt64(input.count - index), remaining))
                state = UInt64(taken) == remaining ? .dataCarriageReturn : .data(remaining: remaining - UInt64(taken))
                return .data(body: index..<index + taken, consumed: index + taken)
            case .dataCarriageReturn:
                guard byte == 0x0D else { throw .badChunkEnd }
                state = .dataLineFeed
                index += 1
            case .dataLineFeed:
                guard byte == 0x0A else { throw .badChunkEnd }
                state = .size(value: 0, digits: 0)
                index += 1
            case .trailers: return try readTrailer(input, from: index)
            case .done: return .end(consumed: index)
            }
        }
        return .needMore(consumed: index)
    }

    /// The state after one byte of an extension (RFC 9112 §7.1.1, without white space).
    private static func next(_ part: ExtensionPart, _ byte: UInt8) throws(MessageError) -> State {
        switch part {
        case .nameStart, .valueStart:
            if part == .valueStart, byte == 0x22 { return .chunkExtension(.quoted) }
            guard ASCII.isToken(byte) else { throw byte == 0x0A ? .bareLineFeed : .badChunkExtension }
            return .chunkExtension(part == .nameStart ? .name : .value)
        case .name, .value, .quotedEnd:
            if part != .quotedEnd, ASCII.isToken(byte) { return .chunkExtension(part) }
            switch byte {
            case 0x0D: return .sizeLineFeed
            case 0x3B: return .chunkExtension(.nameStart)
            case 0x3D where part == .name: return .chunkExtension(.valueStart)
            case 0x0A: throw .bareLineFeed
            default: throw .badChunkExtension
            }
        case .quoted:
            if byte == 0x22 { return .chunkExtension(.quotedEnd) }
            guard ASCII.isFieldValue(byte) else { throw byte == 0x0A ? .bareLineFeed : .badChunkExtension }
            return .chunkExtension(byte == 0x5C ? .quotedPair : .quoted)
        case .quotedPair:
            guard ASCII.isFieldValue(byte) else { throw byte == 0x0A ? .bareLineFeed : .badChunkExtension }
            return .chunkExtension(.quoted)
        }
    }

    private mutating func readTrailer(_ input: Span<UInt8>, from index: Int) throws(MessageError) -> Event {
        switch try FieldLineReader.read(input, from: index) {
        case .needMore:
            guard trailerBytes + input.count - index <= Limits.trailerBytesMax else { throw .trailersTooLarge }
            return .needMore(consumed: index)
        case .line(let line, let next):
            trailerBytes += next - index
            trailerCount += 1
            guard trailerBytes <= Limits.trailerBytesMax, trailerCount <= Limits.fieldCountMax else { throw .trailersTooLarge }
            return .trailer(line, consumed: next)
        case .end(let next):
            state = .done
            return .end(consumed: next)
        }
    }

    private mutating func countLineByte() throws(MessageError) {
        lineBytes += 1
        guard lineBytes <= Limits.chunkLineBytesMax else { throw .chunkLineTooLong }
    }
}
