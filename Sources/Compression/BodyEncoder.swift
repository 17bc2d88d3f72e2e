import Bytes

/// Codes one body, piece by piece.
package final class BodyEncoder {
    package let coding: ContentCoding
    private let coder: any Coder

    /// Nil where there is no memory for it.
    package init?(_ coding: ContentCoding) {
        self.coding = coding
        let made: (any Coder)? =
            switch coding {
            case .gzip: GzipCoder()
            case .br: BrotliCoder()
            case .zstd: ZstdCoder()
            }
        guard let made else { return nil }
        coder = made
    }

    /// Codes a piece of the body.
    ///
    /// - Throws: where the library fails; then the body cannot go on.
    package func append(_ piece: Span<UInt8>, to output: inout [UInt8]) throws(CodingFailed) {
        guard !piece.isEmpty else { return }
        try coder.code(piece, .goOn, to: &output)
    }

    /// What has come so far becomes of use to the client by itself.
    package func flush(to output: inout [UInt8]) throws(CodingFailed) { try coder.code(Span(), .flush, to: &output) }

    /// The body is complete.
    package func finish(to output: inout [UInt8]) throws(CodingFailed) { try coder.code(Span(), .finish, to: &output) }

    package struct CodingFailed: Error {}
}

enum CodingStep { case goOn, flush, finish }

/// What each library does.
protocol Coder: AnyObject {
    func code(_ piece: Span<UInt8>, _ step: CodingStep, to output: inout [UInt8]) throws(BodyEncoder.CodingFailed)
}

/// What a library writes at once, before it is appended.
let scratchBytes = 16_384
