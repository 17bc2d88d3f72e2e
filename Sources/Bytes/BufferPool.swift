/// Buffers of one size that connections borrow while they have something to hold.
///
/// Belongs to one event loop. Keeps at most `keptMax` spare buffers; the rest is freed.
package final class BufferPool {
    package let bufferBytes: Int
    private let keptMax: Int
    /// Room for as many as are kept; the first ``count`` are there.
    private var spare: [[UInt8]]
    private var count = 0

    package init(bufferBytes: Int, keptMax: Int) {
        self.bufferBytes = bufferBytes
        self.keptMax = keptMax
        spare = [[UInt8]](repeating: [], count: keptMax)
    }

    package func take() -> [UInt8] {
        guard count > 0 else { return [UInt8](repeating: 0, count: bufferBytes) }
        count -= 1
        var taken: [UInt8] = []
        trade(&taken)
        return taken
    }

    /// Takes the buffer away from its holder; one that grew past the pool's size is freed.
    package func give(_ buffer: inout [UInt8]) {
        if buffer.count == bufferBytes, count < keptMax {
            trade(&buffer)
            count += 1
        } else {
            buffer = []
        }
    }

    /// Trades a buffer for the one behind those that are there (taken out meanwhile: decision 011).
    private func trade(_ buffer: inout [UInt8]) {
        var list: [[UInt8]] = exchange(&spare, with: [])
        swap(&buffer, &list[count])
        swap(&list, &spare)
    }
}
