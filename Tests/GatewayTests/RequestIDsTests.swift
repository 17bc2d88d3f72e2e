@testable import Gateway
import Testing

@Suite struct RequestIDsTests {
    @Test(arguments: [
        ("0000000000000000", "0000000000000001"), ("0000000000000009", "000000000000000a"), ("000000000000000f", "0000000000000010"),
        ("00000000000000ff", "0000000000000100"), ("0000000000009fff", "000000000000a000"), ("ffffffffffffffff", "0000000000000000"),
    ])
    func countsInHexadecimal(_ last: String, _ next: String) {
        var digits = [UInt8](("0123456789abcdef" + last).utf8)
        RequestIDs.count(&digits)
        // The half that is the worker's own stays.
        #expect(String(decoding: digits, as: UTF8.self) == "0123456789abcdef" + next)
    }
}
