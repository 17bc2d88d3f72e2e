import Foundation
import Glibc
import TestSockets

/// Several Redis servers as users run them, and gateways that share them.
///
/// - Parameter tls: redis-cli's own arguments for TLS.
func redisCLI(_ port: Int, tls: [String] = [], _ words: [String]) throws -> String {
    try run("/usr/bin/redis-cli", ["-h", "127.0.0.1", "-p", "\(port)"] + tls + words).text
}

/// A master with two replicas, and three sentinels that watch them.
final class SentinelTrio {
    let servers: [RedisServer]
    private var sentinels: [Program] = []
    let sentinelPorts: [Int]

    init(in folder: TemporaryFolder) throws {
        func server(_ more: [String]) throws -> RedisServer {
            let own = "\(folder.path)/redis-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            return try RedisServer(in: folder, ["--repl-diskless-sync-delay", "0", "--dir", own] + more)
        }
        let master = try server([])
        servers = [
            master, try server(["--replicaof", "127.0.0.1 \(master.port)"]), try server(["--replicaof", "127.0.0.1 \(master.port)"]),
        ]
        sentinelPorts = [Ports.free(), Ports.free(), Ports.free()]
        for port in sentinelPorts {
            let file = try folder.write(
                "sentinel-\(port).conf",
                """
                port \(port)
                bind 127.0.0.1
                dir \(folder.path)
                sentinel monitor limits 127.0.0.1 \(master.port) 2
                sentinel down-after-milliseconds limits 1000
                sentinel failover-timeout limits 4000

                """)
            sentinels.append(
                try Program(Executable.redis, [file, "--sentinel"], log: "\(folder.path)/sentinel-\(port).log", stopSignal: SIGKILL))
        }
        let isReady = eventually(within: 60) {
            self.sentinelPorts.allSatisfy { port in
                guard let text = try? redisCLI(port, ["SENTINEL", "MASTER", "limits"]) else { return false }
                return text.contains("num-slaves\n2") && text.contains("num-other-sentinels\n2")
            }
                && (try? redisCLI(master.port, ["INFO", "replication"]).components(separatedBy: "state=online").count) == 3
        }
        guard isReady else { throw StartFailed(log: sentinels.map(\.log).joined()) }
    }

    /// The port of the server that most sentinels take for the master.
    var masterPort: Int? {
        let said = sentinelPorts.compactMap { port in
            (try? redisCLI(port, ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "limits"]))?.split(separator: "\n").last.flatMap { Int($0) }
        }
        return said.first { port in said.count { $0 == port } > 1 }
    }

    func server(at port: Int) -> RedisServer? { servers.first { $0.port == port } }

    func stop() {
        for sentinel in sentinels { sentinel.stop() }
        for server in servers {
            server.signal(SIGCONT)
            server.stop()
        }
    }
}

/// A Redis Cluster of six: three masters, each with a replica.
final class RedisCluster {
    let servers: [RedisServer]
    var ports: [Int] { servers.map(\.port) }

    /// What redis-cli needs to speak TLS.
    private let tls: [String]

    /// - Parameter pair: a certificate with its key, for TLS alone, among the servers too, and for clients.
    init(in folder: TemporaryFolder, tls pair: (certificate: String, key: String)? = nil) throws {
        let files = pair.map { [$0.certificate, $0.key, $0.certificate] } ?? []
        tls = pair == nil ? [] : ["--tls"] + zip(["--cert", "--key", "--cacert"], files).flatMap { [$0, $1] }
        let more =
            pair == nil
            ? []
            : zip(["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"], files).flatMap { [$0, $1] } + [
                "--tls-cluster", "yes", "--tls-replication", "yes",
            ]
        servers = try (0..<6).map { number in
            let own = "\(folder.path)/cluster-\(number)-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
            return try RedisServer(
                in: folder, tls: pair != nil,
                [
                    "--cluster-enabled", "yes", "--cluster-port", "\(Ports.free())", "--cluster-node-timeout", "1000",
                    "--cluster-require-full-coverage", "no",
                    "--repl-diskless-sync-delay", "0", "--dir", own,
                ] + more)
        }
        let made = try run(
            "/usr/bin/redis-cli",
            tls + ["--cluster", "create"] + ports.map { "127.0.0.1:\($0)" } + ["--cluster-replicas", "1", "--cluster-yes"])
        guard made.status == 0 else { throw StartFailed(log: made.text + made.errors) }
        let isReady = eventually(within: 60) {
            self.ports.allSatisfy { (try? redisCLI($0, tls: self.tls, ["CLUSTER", "INFO"]).contains("cluster_state:ok")) == true }
                && self.masters.count == 3
        }
        guard isReady else { throw StartFailed(log: made.text) }
    }

    /// The ports of those that are masters and answer.
    var masters: [Int] { ports.filter { (try? redisCLI($0, tls: tls, ["ROLE"]).hasPrefix("master")) == true } }

    func server(at port: Int) -> RedisServer? { servers.first { $0.port == port } }

    /// Says something to each server.
    func tellAll(_ words: [String]) throws -> [String] { try ports.map { try redisCLI($0, tls: tls, words) } }

    func stop() { for server in servers { server.stop() } }
}

/// Several gateways of two workers in front of one nginx, which counts what comes through.
final class Fleet {
    let gateways: [Gateway]
    private let folders: [TemporaryFolder]
    private let ports: [Int]
    private let nginx: Nginx
    private let folder: TemporaryFolder

    /// - Parameters:
    ///   - redis: what stands in the block `redis main`.
    ///   - limit: what stands in the block of the limit, beside key and store.
    init(_ count: Int, redis: String, limit: String, in folder: TemporaryFolder) throws {
        self.folder = folder
        let backend = Ports.free()
        nginx = try Nginx(
            "server { listen 127.0.0.1:\(backend); access_log \(folder.path)/passed.log; location / { return 200 ok; } }", in: folder,
            ports: [backend])
        folders = (0..<count).map { _ in TemporaryFolder() }
        let ports = folders.map { _ in Ports.free() }
        self.ports = ports
        gateways = try zip(folders, ports).map { folder, port in
            try Gateway(
                """
                workers 2;
                listen 127.0.0.1:@PORT@ { plaintext; }
                redis main { \(redis) }
                limit one { \(limit); key $request.path; store main; }
                upstream app { server 127.0.0.1:\(backend); }
                route /** { upstream app; public; limit one; }

                """, in: folder, port: port)
        }
    }

    /// Asks a gateway once; the status.
    func ask(_ gateway: Int, _ path: String) throws -> Answer { try gateways[gateway].curl(path, scheme: "http") }

    var log: String { gateways.map(\.log).joined() }

    /// What became of a load.
    struct Outcome {
        /// By status; 0 where there was no answer.
        var statuses: [Int: Int] = [:]
        /// The longest time that a request took, in microseconds.
        var slowest = 0
        /// By path, what came through since the fleet was made.
        var passed: [String: Int] = [:]
    }

    /// Sends so many requests a second to each gateway, of all paths in turn, while `body` runs and until the time is over.
    func load(_ paths: [String], perSecond: Int, seconds: Int, while body: () throws -> Void) throws -> Outcome {
        let programs = try ports.enumerated().map { index, port in
            // Each begins with another path, so that they do not all ask for the same at the same moment.
            let turned = paths[(index * paths.count / ports.count)...] + paths[..<(index * paths.count / ports.count)]
            let list = try folder.write("paths-\(index)", turned.map { "http://127.0.0.1:\(port)\($0)\n" }.joined())
            return try Program(
                Executable.h2load,
                [
                    "--h1", "-c", "4", "-t", "1", "--rps", "\(perSecond / 4)", "-D", "\(seconds)", "-i", list, "--log-file",
                    "\(folder.path)/h2load-\(index)",
                ],
                log: "\(folder.path)/h2load-\(index).log")
        }
        try body()
        for program in programs { _ = eventually(within: Double(seconds) + 60) { !program.isRunning } }
        var outcome = Outcome()
        for index in ports.indices {
            for line in folder.read("h2load-\(index)").split(separator: "\n") {
                let columns = line.split(separator: "\t").compactMap { Int($0) }
                guard columns.count >= 3 else { continue }
                outcome.statuses[columns[1], default: 0] += 1
                outcome.slowest = max(outcome.slowest, columns[2])
            }
        }
        outcome.passed = passed
        return outcome
    }

    var passed: [String: Int] {
        var counts: [String: Int] = [:]
        for line in folder.read("passed.log").split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count > 6 { counts[String(words[6]), default: 0] += 1 }
        }
        return counts
    }

    func stop() {
        for gateway in gateways { gateway.stop() }
        nginx.stop()
    }
}
