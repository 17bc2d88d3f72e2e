/// What an operator wants to know of a limit, or to have done.
package struct LimitQuestion: Sendable {
    package enum Action: UInt64, Sendable {
        /// How much of a key's quota is left.
        case show
        /// The key has used nothing.
        case reset
        /// The key has used so many requests.
        case set
        /// Which keys were asked about most.
        case top
    }

    package let action: Action
    package let limit: String
    /// A value for each variable of the limit's key, in order; see ``Limit/renderKey(ofWords:into:)``.
    package let words: [String]
    /// Which plan's quota is meant, where there are several; empty for the default.
    package let plan: String
    package let used: UInt64

    package init(_ action: Action, limit: String, words: [String] = [], plan: String = "", used: UInt64 = 0) {
        self.action = action
        self.limit = limit
        self.words = words
        self.plan = plan
        self.used = used
    }
}
