import Foundation
import FuzzTargets
import Testing

/// The inputs that fuzzing starts from, and those that it once found something with, run as a test.
@Suite struct FuzzInputTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Inputs")

    @Test(arguments: FuzzTarget.allCases) func keptInputsHold(_ target: FuzzTarget) throws {
        let folder = Self.folder.appendingPathComponent(target.rawValue)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { !$0.hasPrefix(".") }
        #expect(!names.isEmpty)
        for name in names { target.run([UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))) }
    }
}
