package import Foundation

/// Test data of others, used where it lies: beside the checkout, or where PORTCULLIS_VECTORS says. Tests that need a file
/// of it are skipped when it is not there.
package enum Vectors {
    package static let folder: URL? = {
        let named = ProcessInfo.processInfo.environment["PORTCULLIS_VECTORS"].map { URL(fileURLWithPath: $0) }
        let beside = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("shared/vectors")
        return [named, beside].compactMap { $0 }.first { FileManager.default.fileExists(atPath: $0.path) }
    }()

    package static var areThere: Bool { folder != nil }

    /// The JSON document called `name`.
    package static func json(_ name: String) throws -> Any {
        guard let folder else { throw CocoaError(.fileNoSuchFile) }
        return try JSONSerialization.jsonObject(with: Data(contentsOf: folder.appendingPathComponent(name)))
    }
}
