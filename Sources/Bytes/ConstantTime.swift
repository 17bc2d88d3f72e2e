/// Whether two byte strings are equal, in a time that depends on their lengths alone.
///
/// Also the quickest comparison for long strings that are expected to be equal: the loop has no early way out, so the
/// compiler makes vector instructions of it.
package func equalInConstantTime(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}
