import Foundation
import TestSockets
import Testing

/// Limits that a host spends by parts which it takes of Redis at once.
@Suite struct LimitLeaseTests {
    /// The documented bound: in any stretch of time no more than rate and burst, and one lease more for each host.
    @Test func leasesOfTwoGatewaysKeepTheBound() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let (lease, burst) = (10, 200)
        func gateway() throws -> Stage {
            try Stage(
                routes: "route /** { upstream app; public; limit each; } route /in { upstream app; auth sso; }",
                general: """
                    redis main { address 127.0.0.1:\(redis.port); timeout 2s; }
                    limit each { rate 100/second; burst \(burst); key $header.x-key; store main; when_store_fails closed; lease \(lease); }
                    """, workers: 4)
        }
        let stages = [try gateway(), try gateway()]
        for stage in stages { #expect(eventually { (try? stage.gateway.curl("/", ["-H", "X-Key: \(UUID())"]).status) == 200 }) }
        let began = Date()
        let admitted = Box(0)
        let asked = Box(0)
        let threads = stages.map { stage in
            let (done, gateway) = (Flag(), stage.gateway!)
            Thread {
                for _ in 0..<5 {
                    let answers = (try? gateway.load("/", count: 150, parallel: 16, ["-H", "X-Key: one"])) ?? [:]
                    admitted.change { $0 += answers[200, default: 0] }
                    asked.change { $0 += answers.values.reduce(0, +) }
                }
                done.set()
            }.start()
            return done
        }
        #expect(eventually(within: 60) { threads.allSatisfy(\.isSet) })
        let seconds = Date().timeIntervalSince(began)
        #expect(asked.value == 1_500)
        let most = Double(burst) + 100 * seconds + Double(lease * stages.count)
        #expect(Double(admitted.value) <= most.rounded(.up), "\(admitted.value) in \(seconds) s")
        // None is lost either, but for what lies unspent in leases.
        #expect(admitted.value >= burst - lease * stages.count)
    }

    /// While a lease lasts nobody asks Redis. Leases double: 1, 2, 4, 8, 16, 32 and 50 are enough for a hundred; fewer where those who wait
    /// are counted in. Several workers spend one lease.
    @Test(arguments: [1, 4]) func getsALeaseInOneCall(workers: Int) throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit each; } route /in { upstream app; auth sso; }",
            general: """
                redis main { address 127.0.0.1:\(redis.port); timeout 2s; }
                limit each { rate 1000/day; key $header.x-key; store main; when_store_fails closed; lease 50; }
                """, workers: workers)
        #expect(eventually { (try? stage.gateway.curl("/", ["-H", "X-Key: warm"]).status) == 200 })
        let before = try redis.scriptCalls()
        #expect(try stage.gateway.load("/", count: 100, parallel: 20, ["-H", "X-Key: one"]) == [200: 100])
        let calls = try redis.scriptCalls() - before
        // What comes to other workers while one asks for the lease asks for itself.
        #expect((2...(workers == 1 ? 7 : 20)).contains(calls), "\(calls)")
        let next = try stage.gateway.curl("/", ["-H", "X-Key: one"])
        #expect(next["RateLimit"]?.hasPrefix("\"each\";r=899;") ?? false, "\(next.fields)")
    }

    @Test("What an operator takes from a key is not left to it in a lease")
    func operatorsTakeLeases() throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit each; } route /in { upstream app; auth sso; }",
            general: """
                admin unix:@DIR@/admin.socket;
                redis main { address 127.0.0.1:\(redis.port); timeout 2s; }
                limit each { rate 1000/day; key $header.x-key; store main; when_store_fails closed; lease 50; }
                """, workers: 2)
        #expect(eventually { (try? stage.gateway.curl("/", ["-H", "X-Key: warm"]).status) == 200 })
        #expect(try stage.gateway.load("/", count: 90, parallel: 8, ["-H", "X-Key: one"]) == [200: 90])
        func limit(_ words: [String]) throws -> Output {
            try run(Executable.portcullis, ["limit", words[0], "--socket", "\(stage.folder.path)/admin.socket"] + words.dropFirst())
        }
        let set = try limit(["set", "--used", "1000", "each", "one"])
        #expect(set.text.contains(": 0 left"), "\(set)")
        #expect(try stage.gateway.load("/", count: 10, parallel: 4, ["-H", "X-Key: one"]) == [429: 10])
        #expect(try limit(["reset", "each", "one"]).text.contains(": 1000 left"))
        #expect(eventually { (try? stage.gateway.curl("/", ["-H", "X-Key: one"]).status) == 200 })
    }

    @Test("What is left of a lease goes back when the gateway stops, and when another configuration takes over", arguments: [false, true])
    func givesBack(isReload: Bool) throws {
        let folder = TemporaryFolder()
        let redis = try RedisServer(in: folder)
        let general = """
            redis main { address 127.0.0.1:\(redis.port); timeout 2s; }
            limit each { rate 1000/day; key $header.x-key; store main; when_store_fails closed; lease 50; }
            """
        let routes = "route /** { upstream app; public; limit each; } route /in { upstream app; auth sso; }"
        let stage = try Stage(routes: routes, general: general, workers: 2)
        #expect(eventually { (try? stage.gateway.curl("/", ["-H", "X-Key: warm"]).status) == 200 })
        #expect(try stage.gateway.load("/", count: 90, parallel: 8, ["-H", "X-Key: one"]) == [200: 90])
        if isReload {
            #expect(stage.gateway.reload())
        } else {
            stage.gateway.stop()
        }
        // Another gateway, whose keys are the same, finds all but the ninety.
        let next = try Stage(routes: routes, general: general, workers: 1)
        var left: [String?] = []
        // Workers that end do so when their last connection has.
        #expect(
            eventually(within: 20) {
                left.append(try? next.gateway.curl("/", ["-H", "X-Key: one"])["RateLimit"])
                return left.last??.hasPrefix("\"each\";r=\(910 - left.count);") ?? false
            }, "\(left)")
    }
}
