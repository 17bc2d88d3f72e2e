import Foundation
import Glibc
import TestSockets
import Testing

/// Limits that many gateways share through several Redis servers, while servers end and change places: docs/limits.md says how much may pass.
@Suite("Limits with Sentinel, Cluster and shards", .serialized) struct RedisTopologyTests {
    private let folder = TemporaryFolder()

    private func paths(_ count: Int) -> [String] { (0..<count).map { "/k\($0)" } }

    @Test("Sentinel: two failovers under load, by SIGKILL and by SIGSTOP")
    func sentinel() throws {
        let trio = try SentinelTrio(in: folder)
        defer { trio.stop() }
        let list = trio.sentinelPorts.map { "127.0.0.1:\($0)" }.joined(separator: " ")
        let fleet = try Fleet(
            4, redis: "sentinel \(list) { master limits; } timeout 200ms;", limit: "rate 2000/200h; burst 2000", in: folder)
        defer { fleet.stop() }
        let paths = paths(20)
        var away = Duration.zero
        let outcome = try fleet.load(paths, perSecond: 500, seconds: 30) {
            let first = try #require(trio.masterPort)
            usleep(2_000_000)
            away += try ContinuousClock().measure {
                trio.server(at: first)?.stop()
                #expect(eventually(within: 30) { trio.masterPort != first && trio.masterPort != nil })
            }
            let second = try #require(trio.masterPort)
            usleep(3_000_000)
            // It answers nobody, and takes itself for the master when it goes on.
            away += try ContinuousClock().measure {
                trio.server(at: second)?.signal(SIGSTOP)
                #expect(eventually(within: 30) { trio.masterPort != second && trio.masterPort != nil })
            }
            usleep(2_000_000)
            trio.server(at: second)?.signal(SIGCONT)
        }
        // Together 2,000; and while there is no master, a host does not see what the three others let through: 25 a second each for each key,
        // until the workers have heard of the new master, which they ask for every second.
        let bound = 2_000 + 3 * 25 * Int((away / .seconds(1)).rounded(.up) + 2)
        print(
            "Sentinel: \(outcome.statuses), slowest \(outcome.slowest / 1_000) ms, without a master for \(away), at most \(bound):",
            outcome.passed.values.sorted())
        #expect(Set(outcome.statuses.keys) == [200, 429], "\(outcome.statuses)")
        for path in paths { #expect((2_000...bound).contains(outcome.passed[path] ?? 0), "\(path): \(outcome.passed[path] ?? 0)") }
        // All count together again, at the third server.
        let left = try (0..<4).map { try fleet.ask($0, "/new").status }
        #expect(left == [200, 200, 200, 200])
        #expect(!fleet.log.contains("no sentinel has said") && fleet.log.contains("redis main is back"), "\(fleet.log)")
        let last = try #require(trio.masterPort)
        #expect(eventually { (try? redisCLI(last, ["DBSIZE"]).hasPrefix("0")) == false })
    }

    @Test("Sentinel: a master that is replaced while it answers is left at once")
    func failoverByHand() throws {
        let trio = try SentinelTrio(in: folder)
        defer { trio.stop() }
        let list = trio.sentinelPorts.map { "127.0.0.1:\($0)" }.joined(separator: " ")
        let fleet = try Fleet(2, redis: "sentinel \(list) { master limits; } timeout 500ms;", limit: "rate 40/40h; burst 40", in: folder)
        defer { fleet.stop() }
        func pass(_ count: Int) throws -> Int { try (0..<count).count { try fleet.ask($0 % 2, "/k").status == 200 } }
        #expect(eventually { fleet.gateways.indices.allSatisfy { (try? fleet.ask($0, "/warm")["ratelimit"]) != nil } })
        #expect(try pass(20) == 20)
        let old = try #require(trio.masterPort)
        #expect(try redisCLI(trio.sentinelPorts[0], ["SENTINEL", "FAILOVER", "limits"]).hasPrefix("OK"))
        #expect(eventually(within: 60) { trio.masterPort.map { $0 != old } ?? false })
        let new = try #require(trio.masterPort)
        func clients(_ port: Int) -> Int {
            (try? redisCLI(port, ["CLIENT", "LIST"]))?.components(separatedBy: "cmd=evalsha").count ?? 1
        }
        // Every worker is there, and none is left behind, although the old one has never been away.
        #expect(
            eventually(within: 60) {
                for gateway in 0..<2 { for key in 0..<4 { _ = try? fleet.ask(gateway, "/other\(key)") } }
                return clients(new) == 5 && clients(old) == 1
            }, "\(clients(new)) \(clients(old)) \(fleet.log)")
        // The count goes on where it was: what the old master had not passed on the hosts have told the new one.
        #expect(try pass(30) == 20)
        #expect(eventually(within: 60) { (try? redisCLI(old, ["ROLE"]).hasPrefix("slave")) == true })
    }

    @Test("Cluster: a server ends under load, and its replica takes its place: nothing is uncounted elsewhere")
    func clusterNodeEnds() throws {
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let seeds = cluster.ports.map { "127.0.0.1:\($0)" }.joined(separator: " ")
        let fleet = try Fleet(4, redis: "cluster \(seeds); timeout 200ms;", limit: "rate 1000/100h; burst 1000", in: folder)
        defer { fleet.stop() }
        let paths = paths(24)
        // Which server has which key is seen by asking for one after the other.
        let masters = cluster.masters
        var home: [String: Int] = [:]
        for path in paths {
            let before = try masters.map { try redisCLI($0, ["DBSIZE"]) }
            #expect(try fleet.ask(0, path).status == 200)
            let after = try masters.map { try redisCLI($0, ["DBSIZE"]) }
            home[path] = try #require(zip(masters, zip(before, after)).first { $0.1.0 != $0.1.1 }?.0)
        }
        #expect(Set(home.values).count == 3)
        let dead = masters[0]
        var away = Duration.zero
        let outcome = try fleet.load(paths, perSecond: 500, seconds: 20) {
            usleep(2_000_000)
            away = ContinuousClock().measure {
                cluster.server(at: dead)?.stop()
                #expect(eventually(within: 30) { cluster.masters.count == 3 })
            }
        }
        // Of the keys that were there, each host lets 21 a second through that the three others do not see.
        let bound = 1_000 + 3 * 21 * Int((away / .seconds(1)).rounded(.up) + 2)
        print(
            "Cluster: \(outcome.statuses), slowest \(outcome.slowest / 1_000) ms, a server away for \(away), at most \(bound) of its keys:",
            outcome.passed.values.sorted())
        #expect(Set(outcome.statuses.keys) == [200, 429], "\(outcome.statuses)")
        for path in paths {
            let passed = outcome.passed[path] ?? 0
            if home[path] == dead {
                #expect((1_000...bound).contains(passed), "\(path): \(passed)")
            } else {
                #expect(passed == 1_000, "\(path): \(passed)")
            }
        }
        #expect(!fleet.log.contains("CROSSSLOT") && !fleet.log.contains("MOVED"), "\(fleet.log)")
    }

    @Test("Cluster: slots move under load: nothing is uncounted")
    func clusterSlotsMove() throws {
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let fleet = try Fleet(
            4, redis: "cluster 127.0.0.1:\(cluster.ports[0]); timeout 500ms;", limit: "rate 600/60h; burst 600", in: folder)
        defer { fleet.stop() }
        let paths = paths(40)
        let ids = try cluster.masters.map { try redisCLI($0, ["CLUSTER", "MYID"]).trimmingCharacters(in: .whitespacesAndNewlines) }
        let outcome = try fleet.load(paths, perSecond: 500, seconds: 20) {
            usleep(1_000_000)
            for (from, to) in [(0, 1), (1, 2)] {
                // Each server has to know first what was moved before.
                #expect(
                    eventually(within: 30) {
                        (try? run("/usr/bin/redis-cli", ["--cluster", "check", "127.0.0.1:\(cluster.ports[0])"]).status) == 0
                    })
                let moved = try run(
                    "/usr/bin/redis-cli",
                    [
                        "--cluster", "reshard", "127.0.0.1:\(cluster.ports[0])", "--cluster-from", ids[from], "--cluster-to", ids[to],
                        "--cluster-slots", "3000", "--cluster-yes",
                    ])
                #expect(moved.status == 0, "\(moved.text.suffix(500)) \(moved.errors)")
            }
        }
        print("Slots: \(outcome.statuses), slowest \(outcome.slowest / 1_000) ms, passed \(outcome.passed.values.sorted())")
        #expect(Set(outcome.statuses.keys) == [200, 429], "\(outcome.statuses)")
        for path in paths { #expect(outcome.passed[path] == 600, "\(path): \(outcome.passed[path] ?? 0)") }
        #expect(!fleet.log.contains("is away"), "\(fleet.log)")
    }

    @Test("Several limits of a request in several slots: all are charged or none, and no answer has another slot's error")
    func severalSlots() throws {
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit few; limit many; } route /in { upstream app; auth sso; }",
            general: """
                redis main { cluster 127.0.0.1:\(cluster.ports[3]); timeout 500ms; }
                limit few { rate 3/1h; key $header.x-few; store main; when_store_fails closed; }
                limit many { rate 20/1h; key $header.x-many; store main; when_store_fails closed; }
                """)
        func ask(_ few: String, _ many: String) throws -> Answer {
            try stage.gateway.curl("/", ["-H", "X-Few: \(few)", "-H", "X-Many: \(many)"])
        }
        #expect(eventually { (try? ask("warm", "warm").status) == 200 })
        for round in 0..<8 {
            // Three pass; the others take nothing from the second limit, in whatever slots the two are.
            let statuses = try (0..<5).map { _ in try ask("f\(round)", "m\(round)").status }
            #expect(statuses == [200, 200, 200, 429, 429])
            let other = try ask("g\(round)", "m\(round)")
            #expect(other["ratelimit"]?.contains("\"many\";r=16;") == true, "\(other)")
        }
        #expect(!stage.gateway.log.contains("is away"), "\(stage.gateway.log)")
    }

    @Test("Limits that stand together are decided by one script, and operators find their keys")
    func together() throws {
        let cluster = try RedisCluster(in: folder)
        defer { cluster.stop() }
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit each; limit all; } route /in { upstream app; auth sso; }",
            general: """
                admin unix:@DIR@/admin.socket;
                redis main { cluster 127.0.0.1:\(cluster.ports[0]); timeout 500ms; }
                limit each { rate 3/1h; key $header.x-org $header.x-user; together $header.x-org; store main; when_store_fails closed; }
                limit all { rate 5/1h; key $header.x-org; together $header.x-org; store main; when_store_fails closed; }
                """)
        func ask(_ org: String, _ user: String) throws -> Int {
            try stage.gateway.curl("/", ["-H", "X-Org: \(org)", "-H", "X-User: \(user)"]).status
        }
        #expect(eventually { (try? ask("warm", "warm")) == 200 })
        func calls() throws -> Int { try cluster.masters.compactMap { port in try cluster.server(at: port)?.scriptCalls() }.reduce(0, +) }
        let before = try calls()
        for org in 0..<6 {
            #expect(try (0..<4).map { _ in try ask("o\(org)", "ann") } == [200, 200, 200, 429])
            #expect(try (0..<3).map { _ in try ask("o\(org)", "bob") } == [200, 200, 429])
            let shown = try run(
                Executable.portcullis, ["limit", "show", "--socket", "\(stage.folder.path)/admin.socket", "each", "o\(org)", "bob"])
            #expect(shown.text.contains(": 1 left"), "\(shown)")
        }
        // One call for both limits of a request; where a refusal is known nobody asks.
        #expect(try calls() - before <= 6 * (7 + 1))
        // What is between the braces is on one server, and there are as many as there are organisations.
        var places: [Substring: Set<Int>] = [:]
        for port in cluster.masters {
            for name in try redisCLI(port, ["KEYS", "*{*"]).split(whereSeparator: \.isNewline) {
                places[name.split(separator: "{")[1].split(separator: "}")[0], default: []].insert(port)
            }
        }
        #expect(places.count >= 6 && places.values.allSatisfy { $0.count == 1 }, "\(places)")
    }

    @Test("Shards: each server has its part of the keys, and one that ends takes its own along alone")
    func shards() throws {
        let servers = try (0..<3).map { _ in try RedisServer(in: folder) }
        defer { for server in servers { server.stop() } }
        let list = servers.map { "127.0.0.1:\($0.port)" }.joined(separator: " ")
        let stage = try Stage(
            routes: "route /** { upstream app; public; limit one; } route /in { upstream app; auth sso; }",
            general: """
                redis main { shards \(list); timeout 500ms; }
                limit one { rate 2/1h; key $header.x-key; store main; when_store_fails closed; }
                """)
        func status(_ key: String) throws -> Int { try stage.gateway.curl("/", ["-H", "X-Key: \(key)"]).status }
        #expect(eventually { (try? status("warm")) == 200 })
        let keys = (0..<30).map { "k\($0)" }
        for key in keys { #expect(try status(key) == 200) }
        let sizes = try servers.map { Int(try redisCLI($0.port, ["DBSIZE"]).trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 }
        #expect(sizes.reduce(0, +) == 31 && sizes.allSatisfy { $0 > 2 }, "\(sizes)")
        servers[1].stop()
        #expect(eventually { stage.gateway.log.contains("redis main (127.0.0.1:\(servers[1].port)) is away") })
        var statuses: [Int: Int] = [:]
        for key in keys { statuses[try status(key), default: 0] += 1 }
        #expect(abs((statuses[503] ?? 0) - sizes[1]) <= 1 && statuses[200] ?? 0 > 10 && statuses.count == 2, "\(statuses) \(sizes)")
    }
}
