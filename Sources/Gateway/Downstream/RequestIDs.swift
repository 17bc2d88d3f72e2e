import Bytes
import EventLoop
import HTTPMessage
import Routing

/// Makes request identifiers: 32 hexadecimal digits, the first half random for each worker, the second a count that
/// starts at random.
final class RequestIDs {
    /// The identifier of the last request.
    private var last: [UInt8]

    init() {
        var digits: [UInt8] = []
        digits.append(hexadecimal: SystemRandom.word(), digits: 16)
        digits.append(hexadecimal: SystemRandom.word(), digits: 16)
        last = digits
    }

    /// Gives the request its identifier; a trusted peer's own is kept if it is a short word.
    func assign(to context: RequestContext, trustsPeer: Bool) {
        if trustsPeer, let told = context.head.field(named: "x-request-id"), (8...128).contains(told.count),
            told.allSatisfy(ASCII.isToken)
        {
            return context.identify(told.span)
        }
        var digits: [UInt8] = []
        swap(&digits, &last)
        Self.count(&digits)
        context.identify(digits.span)
        swap(&digits, &last)
    }

    /// Counts the second half one up, digit by digit, of which most often one alone changes.
    static func count(_ digits: inout [UInt8]) {
        var place = 31
        while place > 15 {
            switch digits[place] {
            case 0x66: digits[place] = 0x30
            case 0x39: return digits[place] = 0x61
            default: return digits[place] += 1
            }
            place -= 1
        }
    }
}
