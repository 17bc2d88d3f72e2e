import Foundation
import Glibc
import TestSockets
import Testing

/// Limits whose quota many share, at a running gateway.
@Suite("Limits shared fairly", .serialized) struct LimitFairTests {
    private let folder = TemporaryFolder()

    @Test("Who floods a limit leaves others their part", arguments: [false, true], HTTPVersions.all)
    func flood(inRedis: Bool, version: String) throws {
        let server = try RedisServer(in: folder)
        let stage = try Stage(
            version: version,
            routes: "route /** { upstream app; public; limit all; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(server.port); timeout 2s; }
                limit all { rate 40/1s; burst 40; key $route; fair $header.x-org; \(inRedis ? "store main;" : "") }
                limit other { rate 1000/1h; key $client.ip; store main; }
                route /other { upstream app; public; limit other; }
                """)
        #expect(eventually { (try? stage.gateway.curl("/other").status) == 200 })
        let log = "\(folder.path)/\(UUID().uuidString)"
        let began = ContinuousClock.now
        let flood = try Program(
            Executable.h2load,
            [
                "-c", "4", "-t", "1", "--rps", "100", "-D", "8", "-H", "x-org: heavy", "--log-file", log,
                "https://127.0.0.1:\(stage.gateway.port)/",
            ], log: log + ".log")
        defer { flood.stop() }
        usleep(2_000_000)
        let statuses = try (0..<12).map { _ in
            usleep(200_000)
            return try stage.gateway.curl("/", ["-H", "X-Org: light"]).status
        }
        #expect(statuses.allSatisfy { $0 == 200 }, "\(statuses)")
        #expect(eventually(within: 60) { !flood.isRunning })
        let seconds = Int((ContinuousClock.now - began) / .seconds(1)) + 1
        let heavy = ((try? String(contentsOfFile: log, encoding: .utf8)) ?? "").split(separator: "\n").compactMap { line in
            line.split(separator: "\t").dropFirst().first.flatMap { Int($0) }
        }
        // What is left of 40 a second, and of the burst.
        let passed = heavy.count { $0 == 200 }
        #expect((100...40 * (seconds + 1)).contains(passed) && heavy.contains(429), "\(passed) of \(heavy.count)")
    }

    @Test("What is divided is a rate that others are counted in")
    func wrong() throws {
        let stage = try Stage()
        for (limit, expected) in [
            ("rate 50/1s; key $client.ip; fair $client.ip;", "who shares a key is not who it is counted for"),
            ("rate 3/1s; key $route; fair $client.ip;", "of 3 at once nobody has a part"),
            ("concurrent 30; key $route; fair $client.ip;", "parts are of a rate and burst that all have"),
            ("rate 50/1s; window fixed; key $route; fair $client.ip;", "parts are of a rate and burst that all have"),
            ("rate 50/1s; key $route; fair org;", "who shares a key is not who it is counted for"),
            ("rate 50/1s; key $route; fair $client.ip; cost 2;", "parts are of requests that count as one"),
            ("rate 50/1s; key $route; fair $client.ip; shadow;", "parts are of requests that count as one"),
            ("rate 50/1s; key $route; fair $client.ip; reserve 20%;", "parts are of requests that count as one"),
        ] {
            let output = try stage.check(
                stage.configuration("limit a { \(limit) } route /** { upstream app; auth sso; limit a; }"))
            #expect(output.status != 0 && output.errors.contains(expected), "\(limit): \(output.errors)")
        }
        let said = try stage.check(
            stage.configuration(
                "limit a { rate 50/1s; key $route; fair $claim.org; } route /** { upstream app; auth sso; limit a; }"))
        let made = try stage.check(
            stage.configuration(
                "limit a { rate 50/1s; key $route; fair $header.x-org; } route /** { upstream app; auth sso; limit a; }"))
        #expect(made.errors.contains("a client that makes up $header.x-org has a new part each time"), "\(made)")
        let priced = try stage.check(
            stage.configuration(
                "limit a { rate 50/1s; key $route; fair $claim.org; } route /** { upstream app; auth sso; limit a { cost 5; } }"))
        #expect(priced.status != 0 && priced.errors.contains("a is shared fairly, of which requests count as one"), "\(priced)")
        #expect(said.status == 0 && said.text.contains("50 requests a second for each route, shared fairly by each claim org"), "\(said)")
    }
}
