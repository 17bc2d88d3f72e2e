package import System

/// The counts of one worker, in shared memory.
package struct Counters {
    package static let words = 32

    private let memory: SharedMemory
    private let firstWord: Int

    package init(_ memory: SharedMemory, firstWord: Int) {
        self.memory = memory
        self.firstWord = firstWord
    }

    package func add(_ counter: Counter, _ value: UInt64 = 1) { memory.add(firstWord + counter.rawValue, value) }
    package subscript(_ counter: Counter) -> UInt64 { memory.load(firstWord + counter.rawValue) }
}
