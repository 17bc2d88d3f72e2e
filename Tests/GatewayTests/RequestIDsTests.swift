@testable import Gateway
import Bytes
import Routing
import Testing

@Suite struct RequestIDsTests {
    /// Far beyond one pool of random bytes.
    @Test func areAllDifferentInEveryPlace() {
        let identifiers = RequestIDs()
        let context = RequestContext()
        var seen: Set<[UInt8]> = []
        var digits = [Set<UInt8>](repeating: [], count: 32)
        for _ in 0..<2_000 {
            identifiers.assign(to: context, trustsPeer: false)
            #expect(context.requestID.count == 32 && context.requestID.allSatisfy { ASCII.hexValue($0) != nil })
            #expect(seen.insert(context.requestID).inserted)
            for (place, digit) in context.requestID.enumerated() { digits[place].insert(digit) }
        }
        #expect(digits.allSatisfy { $0.count == 16 })
    }
}
