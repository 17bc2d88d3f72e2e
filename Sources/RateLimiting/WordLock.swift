import System
import Time

/// A word of shared memory that one worker holds for some hundred nanoseconds. It has the moment of locking in it: a holder that died, or that wrote
/// nonsense, is overruled.
struct WordLock {
    let memory: SharedMemory
    let word: Int

    /// Does what has to be done alone.
    ///
    /// - Returns: nil where it stays taken: nobody waits here without an end.
    func holding<Result>(_ body: () -> Result) -> Result? {
        guard let stamp = lock() else { return nil }
        defer { _ = memory.compareExchange(word, expected: stamp, desired: 0) }
        return body()
    }

    /// - Returns: what stands in the word while it is held.
    private func lock() -> UInt64? {
        for _ in 0..<triesMax {
            let now = Clock.now().nanoseconds
            let (taken, holder) = memory.compareExchange(word, expected: 0, desired: now)
            if taken { return now }
            let isOverdue = now > holder ? now - holder > heldMax : holder - now > heldMax
            if isOverdue, memory.compareExchange(word, expected: holder, desired: now).exchanged { return now }
        }
        return nil
    }
}

private let heldMax: UInt64 = 2_000_000
private let triesMax = 1_000_000
