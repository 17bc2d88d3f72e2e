import Bytes
import ConfigFile
import HTTP2
import Observability
import System
import TestSupport
import Testing

@testable import Forwarding

extension UpstreamGroup {
    /// The group of an upstream as a file would describe it.
    static func reading(_ text: String, on loop: EventLoop) throws -> UpstreamGroup {
        let diagnostics = Diagnostics()
        let files = MemoryFiles(["f": "upstream app { \(text) }"])
        let directive = try #require(Parser(files: files, environment: [:], diagnostics: diagnostics).parse("f").first)
        let settings = try #require(UpstreamSettings(directive, files: files, diagnostics), "\(diagnostics.messages)")
        return UpstreamGroup(
            settings, buffers: BufferPool(bufferBytes: 65_536, keptMax: 4), windows: WindowBudget(bytes: 1 << 24),
            metrics: Metrics(MetricMemory(try SharedMemory(words: MetricMemory.words), firstWord: 0)), on: loop)
    }
}
