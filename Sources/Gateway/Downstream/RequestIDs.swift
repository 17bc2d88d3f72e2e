import Bytes
import EventLoop
import HTTPMessage
import Routing

/// Makes request identifiers: 32 hexadecimal digits, all of them random. Who sees one learns nothing of another, nor how many
/// there have been.
final class RequestIDs {
    /// Random bytes of the kernel's, of which those from `next` on have not been used.
    private var pool: [UInt8] = []
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
            pool = SystemRandom.bytes(poolBytes)
            next = 0
        }
        var written: [UInt8] = []
        swap(&written, &digits)
        for place in 0..<16 {
            let byte = pool[next + place]
            written[2 * place] = ASCII.hexDigit(byte >> 4, uppercase: false)
            written[2 * place + 1] = ASCII.hexDigit(byte & 15, uppercase: false)
        }
        next += 16
        context.identify(written.span)
        swap(&written, &digits)
    }
}

/// For 256 requests.
private let poolBytes = 4_096
