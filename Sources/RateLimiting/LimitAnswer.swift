/// What a worker answers.
package struct LimitAnswer: Sendable {
    /// What is known of a key in one place, or of one of the keys that were asked about most.
    package struct Entry: Sendable {
        /// Where, or which key.
        package let name: String
        /// How much is left; of a key that was asked about, how often it was.
        package let count: UInt64
        /// Milliseconds until one more request is let through, zero for now; and until the key has used nothing.
        package let retryAfter: UInt64
        package let resetAfter: UInt64

        package init(_ name: String, count: UInt64, retryAfter: UInt64 = 0, resetAfter: UInt64 = 0) {
            self.name = name
            self.count = count
            self.retryAfter = retryAfter
            self.resetAfter = resetAfter
        }
    }

    /// As of HTTP: 200, or why not.
    package let status: UInt64
    package let text: String
    package let entries: [Entry]

    package init(_ status: UInt64, _ text: String, _ entries: [Entry] = []) {
        self.status = status
        self.text = text
        self.entries = entries
    }
}
