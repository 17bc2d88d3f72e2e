import Bytes
import HTTPMessage
import Routing
import System

/// Makes request identifiers: 32 hexadecimal digits, all of them random. Who sees one learns nothing of another, nor how many
/// there have been.
final class RequestIDs {
    /// Random words of the kernel's, of which those from `next` on have not been used.
    private var pool: [UInt32] = []
    private var next = 0
    private var digits = [UInt8](repeating: 0x30, count: 32)

    /// Gives the request its identifier; a trusted peer's own is kept if it is a short word.
    func assign(to context: RequestContext, trustsPeer: Bool) {
        if trustsPeer, let told = context.head.field(named: "x-request-id"), (8...128).contains(told.count),
            told.allSatisfy(ASCII.isToken)
        {
            return context.identify(told.span)
        }
        if next == pool.count {
            pool = SystemRandom.words(poolWords)
            next = 0
        }
        var written: [UInt8] = exchange(&digits, with: [])
        var bytes = written.mutableSpan
        // SAFETY: plain bytes, written as such and within their bounds.
        var raw = unsafe bytes.mutableBytes
        for place in 0..<4 {
            // The lowest byte comes first.
            raw.storeBytes(of: Self.digits(of: pool[next + place]).littleEndian, toByteOffset: 8 * place, as: UInt64.self)
        }
        next += 4
        context.identify(written.span)
        swap(&written, &digits)
    }

    /// Eight hexadecimal digits, all at once: each half byte gets a byte of its own, then the distance to its digit.
    private static func digits(of word: UInt32) -> UInt64 {
        var spread = UInt64(word)
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return spread &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
    }
}

/// For 256 requests.
private let poolWords = 1_024
