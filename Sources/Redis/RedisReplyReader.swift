package import Bytes
import CHiredis

/// Reads replies with hiredis, as bytes arrive. Bounds what a wrong server can make us hold.
@safe package final class RedisReplyReader {
    private let reader: UnsafeMutablePointer<redisReader>
    /// Bytes fed since the last complete reply.
    private var pendingBytes = 0

    package init() {
        // SAFETY: a new reader, freed in deinit; null only when memory is out, as for every allocation.
        unsafe reader = redisReaderCreate()!
        unsafe reader.pointee.fn = boundedFunctions.pointer
    }

    deinit { unsafe redisReaderFree(reader) }

    package func feed(_ queue: borrowing ByteQueue) throws(RedisProtocolError) { try feed(queue.readable) }

    package func feed(_ bytes: Span<UInt8>) throws(RedisProtocolError) {
        pendingBytes += bytes.count
        guard pendingBytes <= replyBytesMax else { throw RedisProtocolError(reason: "a reply is larger than \(replyBytesMax) bytes") }
        // SAFETY: hiredis copies what it is fed.
        let result = unsafe bytes.withUnsafeBytes { unsafe redisReaderFeed(reader, $0.baseAddress, $0.count) }
        guard result == REDIS_OK else { throw RedisProtocolError(reason: "the reader is out of memory") }
    }

    /// The next complete reply; nil when more bytes are needed.
    package func next() throws(RedisProtocolError) -> RedisReply? {
        var raw: UnsafeMutableRawPointer?
        // SAFETY: a reply that is handed out is freed below.
        guard unsafe redisReaderGetReply(reader, &raw) == REDIS_OK else {
            let reason = unsafe withUnsafePointer(to: &reader.pointee.errstr) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 128) { unsafe String(cString: $0) }
            }
            throw RedisProtocolError(reason: reason)
        }
        guard let raw = unsafe raw else { return nil }
        defer { unsafe freeReplyObject(raw) }
        pendingBytes = 0
        return unsafe Self.value(raw.assumingMemoryBound(to: redisReply.self))
    }

    private static func value(_ reply: UnsafeMutablePointer<redisReply>) -> RedisReply {
        // SAFETY: the reply lives until the caller frees it; hiredis set the members that its type says.
        switch unsafe reply.pointee.type {
        case REDIS_REPLY_INTEGER: return .integer(unsafe reply.pointee.integer)
        case REDIS_REPLY_STATUS: return .status(unsafe text(reply))
        case REDIS_REPLY_ERROR: return .error(unsafe text(reply))
        case REDIS_REPLY_STRING: return .string(unsafe bytes(reply))
        case REDIS_REPLY_ARRAY:
            return .array(
                (0..<Int(unsafe reply.pointee.elements)).map { index in
                    guard let element = unsafe reply.pointee.element[index] else { return .null }
                    return unsafe value(element)
                })
        default: return .null
        }
    }

    private static func bytes(_ reply: UnsafeMutablePointer<redisReply>) -> [UInt8] {
        unsafe [UInt8](UnsafeRawBufferPointer(start: reply.pointee.str, count: Int(reply.pointee.len)))
    }

    private static func text(_ reply: UnsafeMutablePointer<redisReply>) -> String { unsafe String(decoding: bytes(reply), as: UTF8.self) }
}

/// hiredis's own functions, but for arrays: 0.14 would allocate whatever number of elements a server announces.
@safe private struct BoundedFunctions: @unchecked Sendable {
    // SAFETY: written once before anybody reads it, never freed.
    let pointer: UnsafeMutablePointer<redisReplyObjectFunctions>
    let plain: redisReplyObjectFunctions

    init() {
        let sample = unsafe redisReaderCreate()!
        plain = unsafe sample.pointee.fn.pointee
        unsafe redisReaderFree(sample)
        unsafe pointer = .allocate(capacity: 1)
        unsafe pointer.initialize(to: plain)
        unsafe pointer.pointee.createArray = { task, elements in
            guard elements <= arrayElementsMax else { return nil }
            return unsafe boundedFunctions.plain.createArray(task, elements)
        }
    }
}

private let boundedFunctions = BoundedFunctions()

/// A cluster whose slots lie in single pieces has so many ranges at most.
private let arrayElementsMax: Int32 = 16_384

private let replyBytesMax = 1 << 20
