import CLinux
import System

/// The environment of this process.
package enum Environment {
    /// All variables of the environment.
    package static var all: [String: String] {
        var variables: [String: String] = [:]
        // SAFETY: the block is the C library's, ends with a null, and nothing here changes it.
        var entry = unsafe pc_environment()
        while let present = unsafe entry, let text = unsafe present.pointee {
            let pair = unsafe String(cString: text)
            if let equals = pair.firstIndex(of: "=") { variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...]) }
            unsafe entry = unsafe present + 1
        }
        return variables
    }

    /// What a process that meets the world has to know: the variables that the configuration names, and those by which the
    /// libraries and the runtime are set up. Nothing else of what the supervisor was given is there to be read.
    package static func needed(by names: Set<String>) -> [String: String] {
        all.filter { name, _ in
            names.contains(name) || setUpNames.contains(name) || setUpPrefixes.contains { name.hasPrefix($0) }
        }
    }

    private static let setUpNames: Set<String> = [
        "PATH", "TZ", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
    ]
    private static let setUpPrefixes = ["LD_", "LC_", "MALLOC_", "GLIBC_", "SWIFT_", "ASAN_", "TSAN_", "LSAN_", "PORTCULLIS_"]
}
