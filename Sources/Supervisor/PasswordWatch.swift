import System
import TLS
import Time

/// Finds out when a file with the password of a Redis has changed.
final class PasswordWatch {
    /// The number of the `redis` in the file.
    let store: Int
    let isOfSentinels: Bool
    let path: String
    private var seen: [Int64]?
    /// What is in use.
    private var digest: [UInt8]

    /// - Parameter content: as it was read with the configuration.
    init(store: Int, isOfSentinels: Bool, path: String, content: [UInt8]) {
        self.store = store
        self.isOfSentinels = isOfSentinels
        self.path = path
        digest = Digest.sha256(content)
    }

    /// What stands in the file now, where that is not what is in use. A file that cannot be read, or has nothing in it, is one that is being
    /// written: no process could start with it.
    func look() -> [UInt8]? {
        guard let signature = LocalFiles.signature(of: path), signature != seen,
            let content = try? LocalFiles.read(path, bytesMax: bytesMax)
        else { return nil }
        guard content.contains(where: { $0 != 0x0A && $0 != 0x0D }) else { return nil }
        let present = Digest.sha256(content)
        guard present != digest else {
            seen = signature
            Secrets.wipe(content)
            return nil
        }
        return content
    }

    /// What was found is in use.
    func confirm(_ content: [UInt8]) { digest = Digest.sha256(content) }
}

private let bytesMax = 65_536
