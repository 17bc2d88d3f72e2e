/// One bit for each scope requirement, set where the principal meets it.
package struct RequirementAnswers: Sendable {
    private var words: [UInt64] = []

    package init(count: Int = 0) { words = [UInt64](repeating: 0, count: (count + 63) / 64) }

    package subscript(_ index: Int) -> Bool {
        get { index >> 6 < words.count && words[index >> 6] >> UInt64(index & 63) & 1 == 1 }
        set {
            precondition(index >> 6 < words.count, "a requirement that was not counted")
            if newValue { words[index >> 6] |= 1 << UInt64(index & 63) } else { words[index >> 6] &= ~(1 << UInt64(index & 63)) }
        }
    }
}

/// Answers the scope requirements of the configuration for the claims of a principal, once for each.
package protocol RequirementAnswering: AnyObject {
    func answers(for claims: Claims, of credential: CredentialID) -> RequirementAnswers
}
