/// What each subject has under way: one share for all of its credentials. Those that nobody uses are forgotten now and then.
final class SubjectShares {
    private struct Key: Hashable {
        let credential: CredentialID
        let subject: String
    }

    private var shares: [Key: SubjectShare] = [:]
    private let capacity: Int

    /// - Parameter capacity: how many are kept before the unused ones are looked for.
    init(capacity: Int) { self.capacity = capacity }

    /// - Parameter subject: nil where nobody knows who it is: then each credential has a share of its own.
    func share(of subject: String?, _ credential: CredentialID) -> SubjectShare {
        guard let subject else { return SubjectShare() }
        let key = Key(credential: credential, subject: subject)
        if let known = shares[key] { return known }
        if shares.count >= capacity { forgetUnused() }
        let new = SubjectShare()
        shares[key] = new
        return new
    }

    private func forgetUnused() {
        for key in Array(shares.keys) {
            guard let index = shares.index(forKey: key) else { continue }
            if isKnownUniquelyReferenced(&shares.values[index]) { shares[key] = nil }
        }
    }
}
