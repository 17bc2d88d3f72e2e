import Foundation
import Testing

/// What a request costs of the heap, counted in the program as it is built for use.
@Suite struct AllocationTests {
    private static let counter = "\(Executable.root)/.build/debug/libAllocationCounter.so"

    /// A token, a scope and a limit are checked, and a header is set.
    private static let route =
        "limit each { rate 1000000/second; key $claim.sub; }"
        + " route /** { upstream app; auth sso; scope read:orders; limit each; set_header X-User-Id $claim.sub; }"

    @Test(.enabled(if: Executable.portcullis.contains("release"), "the debug build allocates where the release does not"))
    func aWarmRequestAllocatesLittle() throws {
        let counts = TemporaryFolder()
        let stage = try Stage(
            routes: Self.route, workers: 1, environment: ["LD_PRELOAD": Self.counter, "PORTCULLIS_ALLOCATION_COUNTS": counts.path])
        let worker = try #require(stage.gateway.children("worker").first)
        let token = try stage.signer.token()
        /// The allocations of the worker while a new connection asks so many times.
        func allocations(_ version: [String], _ requests: Int) throws -> Int {
            let before = try count(worker, counts)
            let output = try run(
                Executable.h2load,
                version + [
                    "-n", "\(requests)", "-c", "1", "-m", "1", "-H", "authorization: Bearer \(token)",
                    "https://127.0.0.1:\(stage.gateway.port)/orders",
                ])
            #expect(output.text.contains("status codes: \(requests) 2xx"), "\(output.text)")
            return try count(worker, counts) - before
        }
        for version in [["--h1"], []] {
            _ = try allocations(version, 100)
            // Opening the connection costs the same in both.
            let (few, many) = (try allocations(version, 100), try allocations(version, 4_100))
            #expect(few > 100, "the counter does not count")
            let each = Double(many - few) / 4_000
            print("allocations of a warm request \(version.first ?? "--h2"): \(each)")
            // Six of HTTP/1.1 are OpenSSL's own: two buffers, which it gives back when it idles, and its packets. nghttp2 has more.
            #expect(each <= (version.isEmpty ? 30 : 10), "\(version)")
        }
    }

    private func count(_ process: pid_t, _ folder: TemporaryFolder) throws -> Int {
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(process)"))
        try #require(data.count == 8)
        return Int(data.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    }
}
