import Bytes
import EventLoop
import HTTPMessage
import Routing

/// Makes request identifiers: 32 hexadecimal digits, the first half random for each worker, the second a count that
/// starts at random.
final class RequestIDs {
    private let prefix: [UInt8]
    private var count: UInt64

    init() {
        var digits: [UInt8] = []
        digits.append(hexadecimal: SystemRandom.word(), digits: 16)
        prefix = digits
        count = SystemRandom.word()
    }

    /// Gives the request its identifier; a trusted peer's own is kept if it is a short word.
    func assign(to context: RequestContext, trustsPeer: Bool) {
        context.requestID.removeAll(keepingCapacity: true)
        if trustsPeer, let told = context.head.field(named: "x-request-id"), (8...128).contains(told.count),
            told.allSatisfy(ASCII.isToken)
        {
            context.requestID.append(contentsOf: told)
            return
        }
        count &+= 1
        context.requestID += prefix
        context.requestID.append(hexadecimal: count, digits: 16)
    }
}
