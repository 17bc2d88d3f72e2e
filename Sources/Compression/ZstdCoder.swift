import Bytes
import CCompression

/// zstd by libzstd, with a window of 128 KiB, which every browser takes (RFC 9659).
@safe final class ZstdCoder: Coder {
    private let stream: OpaquePointer

    private var scratch = [UInt8](repeating: 0, count: scratchBytes)

    init?() {
        // SAFETY: freed in deinit.
        guard let stream = unsafe ZSTD_createCCtx() else { return nil }
        unsafe self.stream = stream
        guard unsafe ZSTD_isError(ZSTD_CCtx_setParameter(stream, ZSTD_c_compressionLevel, level)) == 0,
            unsafe ZSTD_isError(ZSTD_CCtx_setParameter(stream, ZSTD_c_windowLog, windowBits)) == 0
        else { return nil }
    }

    // SAFETY: nobody else knows of it.
    deinit { _ = unsafe ZSTD_freeCCtx(stream) }

    func code(_ piece: Span<UInt8>, _ step: CodingStep, to output: inout [UInt8]) throws(BodyEncoder.CodingFailed) {
        let mode =
            switch step {
            case .goOn: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        var isGood = true
        // SAFETY: the library reads the piece, which lives for the closure, from `pos` to `size`, and writes as many bytes as there is room for.
        unsafe piece.withUnsafeBufferPointer { source in
            var input = unsafe ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
            while true {
                var written = 0
                let left = unsafe scratch.withUnsafeMutableBufferPointer { room in
                    var place = unsafe ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                    let left = unsafe ZSTD_compressStream2(stream, &place, &input, mode)
                    written = unsafe place.pos
                    return left
                }
                output += scratch[..<written]
                isGood = ZSTD_isError(left) == 0
                let isDone = step == .goOn ? unsafe input.pos == input.size : left == 0
                if !isGood || isDone { break }
            }
        }
        guard isGood else { throw BodyEncoder.CodingFailed() }
    }
}

/// Its default, as fast as gzip's fastest.
private let level: Int32 = 3
private let windowBits: Int32 = 17
