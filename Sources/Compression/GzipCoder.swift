import Bytes
import CCompression

/// gzip by zlib, with its window of 32 KiB: a quarter of a megabyte for each body.
@safe final class GzipCoder: Coder {
    private let stream: UnsafeMutablePointer<z_stream>
    private var scratch = [UInt8](repeating: 0, count: scratchBytes)

    init?() {
        // SAFETY: one stream, at a place of its own, which zlib wants to stay where it is; freed in deinit.
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        // What fails here is freed by `deinit` too: all fields are there.
        guard unsafe pc_gzip_begin(stream, level) == Z_OK else { return nil }
    }

    deinit {
        // SAFETY: nobody else knows of it; zlib ends one that did not begin by doing nothing.
        unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    func code(_ piece: Span<UInt8>, _ step: CodingStep, to output: inout [UInt8]) throws(BodyEncoder.CodingFailed) {
        let mode =
            switch step {
            case .goOn: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        guard let count = uInt(exactly: piece.count) else { throw BodyEncoder.CodingFailed() }
        var isDone = false
        // SAFETY: zlib reads what avail_in says of the piece, which lives for the closure, and writes what avail_out says.
        unsafe piece.withUnsafeBufferPointer { source in
            unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
            unsafe stream.pointee.avail_in = count
            while true {
                let (code, written) = unsafe scratch.withUnsafeMutableBufferPointer { room in
                    unsafe stream.pointee.next_out = room.baseAddress
                    unsafe stream.pointee.avail_out = uInt(room.count)
                    return (unsafe deflate(stream, mode), room.count - Int(unsafe stream.pointee.avail_out))
                }
                output += scratch[..<written]
                isDone = code == Z_STREAM_END || step != .finish && code == Z_OK && written < scratchBytes || code == Z_BUF_ERROR
                if isDone || code != Z_OK { break }
            }
        }
        unsafe stream.pointee.next_in = nil
        guard isDone else { throw BodyEncoder.CodingFailed() }
    }
}

/// Of 1 to 9: what nginx and Envoy users set most, and where the time begins to grow faster than the gain.
private let level: Int32 = 5
