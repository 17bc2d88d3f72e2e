import Bytes
import CCompression

/// br by libbrotlienc, with a window of 256 KiB.
@safe final class BrotliCoder: Coder {
    private let state: OpaquePointer

    private var scratch = [UInt8](repeating: 0, count: scratchBytes)

    init?() {
        // SAFETY: freed in deinit; the functions for memory are the library's own.
        guard let state = unsafe BrotliEncoderCreateInstance(nil, nil, nil) else { return nil }
        unsafe self.state = state
        guard unsafe BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, quality) == BROTLI_TRUE,
            unsafe BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, windowBits) == BROTLI_TRUE
        else { return nil }
    }

    // SAFETY: nobody else knows of it.
    deinit { unsafe BrotliEncoderDestroyInstance(state) }

    func code(_ piece: Span<UInt8>, _ step: CodingStep, to output: inout [UInt8]) throws(BodyEncoder.CodingFailed) {
        let operation =
            switch step {
            case .goOn: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        var isGood = true
        // SAFETY: the library reads `left` bytes of the piece, which lives for the closure, and writes as many as there is room for.
        unsafe piece.withUnsafeBufferPointer { source in
            var next = source.baseAddress
            var left = source.count
            var holdsMore = false
            repeat {
                var written = 0
                isGood = unsafe scratch.withUnsafeMutableBufferPointer { room in
                    var (place, free) = (room.baseAddress, room.count)
                    let code = unsafe BrotliEncoderCompressStream(state, operation, &left, &next, &free, &place, nil)
                    written = room.count - free
                    return code == BROTLI_TRUE
                }
                output += scratch[..<written]
                unsafe holdsMore = BrotliEncoderHasMoreOutput(state) == BROTLI_TRUE
            } while isGood && (left > 0 || holdsMore)
        }
        let isFinished = unsafe BrotliEncoderIsFinished(state) == BROTLI_TRUE
        guard isGood, step != .finish || isFinished else { throw BodyEncoder.CodingFailed() }
    }
}

/// Of 0 to 11: as fast as gzip about, and shorter.
private let quality: UInt32 = 4
private let windowBits: UInt32 = 18
