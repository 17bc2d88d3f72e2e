import Bytes
import RateLimiting
package import System
import Time

/// Asks the servers of a `redis` whether limits will work there: whether they are reached and let the gateway in, have the rights that it needs and not
/// many more, are masters, and keep what they are given for as long as they have memory. Writes one key of its own, which ends within a second.
package struct LiveCheck {
    let settings: RedisSettings
    /// Those that the script needs there.
    let commands: [String]
    private let loop: EventLoop
    private let resolve: (String) -> [IPAddress]

    /// - Parameters:
    ///   - countsHosts: whether limits need to know how many hosts there are (`share auto`).
    ///   - readsRates: whether plans have their rates there.
    ///   - resolve: the addresses of a name.
    package init(
        _ settings: RedisSettings, countsHosts: Bool, readsRates: Bool, on loop: EventLoop, resolve: @escaping (String) -> [IPAddress]
    ) {
        self.settings = settings
        commands =
            ["TIME", "GET", "SET"] + (countsHosts ? ["ZADD", "ZREMRANGEBYSCORE", "ZCARD", "PEXPIRE"] : [])
            + (readsRates ? ["HLEN", "HGETALL"] : [])
        self.loop = loop
        self.resolve = resolve
    }

    package func run() -> [LiveFinding] {
        switch settings.topology {
        case .server(let address): check(address)
        case .shards(let addresses): addresses.flatMap { check($0) }
        case .sentinel(let sentinels): check(sentinels)
        case .cluster(let seeds): check(cluster: seeds)
        }
    }

    private func places(of address: RedisSettings.Address) -> [SocketAddress] {
        switch address {
        case .socket(let socket): [socket]
        case .host(let host, let port): resolve(host).map { .ip($0, port: port) }
        }
    }

    private func check(_ address: RedisSettings.Address) -> [LiveFinding] {
        let places = places(of: address)
        guard !places.isEmpty else { return [LiveFinding(.error, "\(address.text): the name has no address")] }
        return places.flatMap { check(address, at: $0) }
    }

    func hold(_ commands: [[String]], _ server: RedisSettings.Address, at place: SocketAddress) -> Result<
        [RedisReply], LiveConversation.Failure
    > {
        LiveConversation.hold(
            commands, to: place, RedisConnection.TLS(settings: settings.tls, host: settings.tlsHost(of: server, at: place)),
            within: settings.connectTimeout + .seconds(2), on: loop)
    }

    // MARK: - One server

    private func check(_ server: RedisSettings.Address, at place: SocketAddress, isOfCluster: Bool = false) -> [LiveFinding] {
        var findings: [LiveFinding] = []
        func tell(_ severity: LiveFinding.Severity, _ text: String, _ hint: String? = nil) {
            findings.append(LiveFinding(severity, "\(place.text): \(text)", hint: hint))
        }
        var commands: [[String]] = []
        if let login = settings.login.command { commands.append(login) }
        commands.append(["ROLE"])
        if settings.database > 0 { commands.append(["SELECT", String(settings.database)]) }
        commands.append(RedisLink.loadCommand)
        let first = commands.count
        commands += [["INFO", "server"], ["INFO", "memory"], ["CONFIG", "GET", "port"], ["GET", "portcullis-has-no-business-here"]]
        let replies: [RedisReply]
        switch hold(commands, server, at: place) {
        case .success(let good): replies = good
        case .failure(let failure):
            tell(
                .error, failure.reason, settings.tls == nil ? nil : "where it says nothing of TLS, the server may want a client certificate"
            )
            return findings
        }
        var call: [String]?
        for (command, reply) in zip(commands, replies).prefix(first) {
            switch (command[0], reply) {
            case ("AUTH", .error(let text)):
                tell(
                    .error, "it does not let the gateway in: \(RedisLink.code(of: text))",
                    "look at username and password of redis \(settings.name)")
                return findings
            case ("ROLE", .array(let parts)):
                if case .string(let role)? = parts.first, role != Array("master".utf8) {
                    tell(
                        .error, "it is no master but a \(String(decoding: role.prefix(16), as: UTF8.self))",
                        "name the master, or use sentinel")
                }
            case ("ROLE", .error(let text)):
                tell(
                    .warning, "it does not say whether it is a master, which the first write finds out: \(text.prefix(200))",
                    "its user needs +role")
            case ("SCRIPT", .error(let text)) where LimitScript.isUnkept(text):
                call = ["EVAL", LimitScript.text]
                tell(
                    .warning, "it keeps no scripts, so each question brings one of \(LimitScript.bytes.count / 1_024) KiB along",
                    "its user needs +eval, and not +evalsha")
            case (_, .error(let text)):
                tell(.error, "\(command[0]) is refused: \(text.prefix(200))", Self.rights(for: command, isOfCluster))
            case ("SCRIPT", .string(let bytes)): call = ["EVALSHA", String(decoding: bytes, as: UTF8.self)]
            default: break
            }
        }
        if let call {
            findings += decision(call, server, at: place, isOfCluster)
            findings += rights(server, at: place, isOfCluster: isOfCluster)
        }
        findings += Self.version(replies[first]).map { LiveFinding($0.severity, "\(place.text): \($0.text)", hint: $0.hint) }
        findings += Self.memory(replies[first + 1]).map { LiveFinding($0.severity, "\(place.text): \($0.text)", hint: $0.hint) }
        if case .array = replies[first + 2] {
            tell(
                .warning, "the gateway's user may read its configuration, and perhaps change it",
                "give it the rights that docs/configuration.md names, and no more")
        }
        if case .error = replies[first + 3] {
        } else {
            tell(.warning, "the gateway's user may read keys that are not its own", "give it ~\(settings.keyNames.pattern)")
        }
        return findings + strangers(server, at: place) + Self.plaintext(place, isTLS: settings.tls != nil)
    }

    /// Counts a request of nobody, and takes it back.
    private func decision(_ script: [String], _ server: RedisSettings.Address, at place: SocketAddress, _ isOfCluster: Bool)
        -> [LiveFinding]
    {
        let call = RemoteCall(name: settings.keyNames.probeName(0), fingerprint: 0, quota: Quota(count: 1_000_000, window: .seconds(1)))
        let arguments = LimitScript.arguments([.probe(call)]).map { String(decoding: $0, as: UTF8.self) }
        var commands: [[String]] = []
        if let login = settings.login.command { commands.append(login) }
        if settings.database > 0 { commands.append(["SELECT", String(settings.database)]) }
        commands.append(script + arguments)
        guard case .success(let replies) = hold(commands, server, at: place), let reply = replies.last else {
            return [LiveFinding(.error, "\(place.text): it does not reply to a question in time")]
        }
        if LimitScript.decisions(reply, of: [call]) != nil { return [LiveFinding(.good, "\(place.text): it counts")] }
        guard case .error(let text) = reply else { return [LiveFinding(.error, "\(place.text): its reply has another shape")] }
        // In a cluster the key may be another server's, which is as good.
        if isOfCluster, Redirection(text) != nil { return [LiveFinding(.good, "\(place.text): it knows whose a key is")] }
        return [
            LiveFinding(.error, "\(place.text): it does not count: \(text.prefix(200))", hint: Self.rights(for: ["EVALSHA"], isOfCluster))
        ]
    }

    private static func rights(for command: [String], _ isOfCluster: Bool) -> String {
        "its user needs +script|load +evalsha +time +get +set +select +role\(isOfCluster ? " +cluster|slots +asking" : "")"
    }

    private static func value(_ name: String, in reply: RedisReply) -> String? {
        guard case .string(let bytes) = reply else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        return lines.first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 1)) }
    }

    /// Of `INFO server`, which the gateway itself does not need.
    static func version(_ reply: RedisReply) -> [LiveFinding] {
        let valkey = value("valkey_version", in: reply)
        guard let text = valkey ?? value("redis_version", in: reply) else {
            return [
                LiveFinding(.good, "which version it is it does not say: its user has no right to INFO, which the gateway does not need")
            ]
        }
        let product = valkey == nil ? "Redis" : "Valkey"
        let parts = text.split(separator: ".").compactMap { Int($0) }
        guard parts.count >= 2 else { return [LiveFinding(.good, "it is \(product) \(text.prefix(32))")] }
        let version = (parts[0], parts[1], parts.count > 2 ? parts[2] : 0)
        guard version >= (6, 2, 0) else {
            return [LiveFinding(.error, "it is \(product) \(text); the gateway needs 6.2 or later")]
        }
        // The first release of each line in which the use after free of the Lua engine is mended (CVE-2025-49844).
        let mended: [(Int, Int, Int)] =
            valkey == nil ? [(6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)] : [(7, 2, 11), (8, 0, 6), (8, 1, 4)]
        let line = mended.first { $0.0 == version.0 && $0.1 == version.1 }
        let isMended = line.map { version >= $0 } ?? (version > mended[mended.count - 1])
        guard isMended else {
            return [
                LiveFinding(
                    .warning,
                    "it is \(product) \(text), whose Lua engine has known faults (CVE-2025-49844 and others) unless your distribution has mended them",
                    hint: "look at your distribution's changelog, or take a later release")
            ]
        }
        return [LiveFinding(.good, "it is \(product) \(text)")]
    }

    /// Of `INFO memory`.
    static func memory(_ reply: RedisReply) -> [LiveFinding] {
        guard let most = value("maxmemory", in: reply), let policy = value("maxmemory_policy", in: reply) else { return [] }
        if most == "0" {
            return [
                LiveFinding(
                    .warning, "it has no maxmemory: keys that clients make up may fill the machine",
                    hint: "set maxmemory, and maxmemory-policy volatile-ttl")
            ]
        }
        if policy != "volatile-ttl" {
            let what = policy == "noeviction" ? "refuses to count when it is full" : "may give keys up that have used all of their quota"
            return [
                LiveFinding(
                    .warning, "with maxmemory-policy \(policy.prefix(32)) it \(what)",
                    hint: "set maxmemory-policy volatile-ttl: it gives up first what is nearly whole")
            ]
        }
        return [LiveFinding(.good, "maxmemory \(most), volatile-ttl")]
    }

    // MARK: - Several servers

    private func check(_ sentinels: SentinelSettings) -> [LiveFinding] {
        var findings: [LiveFinding] = []
        var masters: [SocketAddress: Int] = [:]
        for server in sentinels.addresses {
            let places = places(of: server)
            if places.isEmpty { findings.append(LiveFinding(.error, "sentinel \(server.text): the name has no address")) }
            for place in places {
                let login = sentinels.login.command.map { [$0] } ?? []
                let commands =
                    login + [["SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.master], ["PING"], ["SUBSCRIBE", "+switch-master"]]
                findings += Self.plaintext(place, isTLS: sentinels.tls != nil).map {
                    LiveFinding($0.severity, "sentinel \($0.text)", hint: $0.hint)
                }
                let said = LiveConversation.hold(
                    commands, to: place, RedisConnection.TLS(settings: sentinels.tls, host: sentinels.tlsHost(of: server, at: place)),
                    within: settings.connectTimeout + .seconds(2), on: loop)
                switch said {
                case .failure(let failure): findings.append(LiveFinding(.warning, "sentinel \(place.text): \(failure.reason)"))
                case .success(let replies):
                    if !login.isEmpty, case .error(let text) = replies[0] {
                        findings.append(
                            LiveFinding(.error, "sentinel \(place.text): it does not let the gateway in: \(RedisLink.code(of: text))"))
                        continue
                    }
                    for case .error(let text) in replies.dropFirst(login.count) {
                        findings.append(
                            LiveFinding(
                                .error, "sentinel \(place.text): \(text.prefix(200))",
                                hint: "its user needs +sentinel|get-master-addr-by-name +ping +subscribe &+switch-master"))
                    }
                    guard let master = SentinelConnection.master(in: replies[login.count]) else {
                        findings.append(
                            LiveFinding(.error, "sentinel \(place.text): it gives no address of a master '\(sentinels.master)'"))
                        continue
                    }
                    masters[master, default: 0] += 1
                    findings.append(LiveFinding(.good, "sentinel \(place.text): the master is \(master.text)"))
                }
            }
        }
        if masters.count > 1 {
            findings.append(
                LiveFinding(.warning, "the sentinels name \(masters.count) masters", hint: "a failover may be under way: check again"))
        }
        for master in masters.keys.sorted(by: { $0.text < $1.text }) { findings += check(.socket(master), at: master) }
        if masters.isEmpty { findings.append(LiveFinding(.error, "no sentinel has said where the master is")) }
        return findings
    }

    private func check(cluster seeds: [RedisSettings.Address]) -> [LiveFinding] {
        var findings: [LiveFinding] = []
        for seed in seeds {
            for place in places(of: seed) {
                let login = settings.login.command.map { [$0] } ?? []
                switch hold(login + [["CLUSTER", "SLOTS"]], seed, at: place) {
                case .failure(let failure): findings.append(LiveFinding(.warning, "\(place.text): \(failure.reason)"))
                case .success(let replies):
                    if case .error(let text)? = replies.last {
                        findings.append(
                            LiveFinding(.error, "\(place.text): \(text.prefix(200))", hint: Self.rights(for: ["CLUSTER"], true)))
                        continue
                    }
                    guard let reply = replies.last, let slots = ClusterSlots(reply, from: place) else {
                        findings.append(LiveFinding(.error, "\(place.text): its reply to CLUSTER SLOTS has another shape"))
                        continue
                    }
                    findings.append(
                        LiveFinding(
                            slots.covered == ClusterSlots.count ? .good : .warning,
                            "\(place.text): \(slots.nodes.count) servers have \(slots.covered) of \(ClusterSlots.count) slots",
                            hint: slots.covered == ClusterSlots.count ? nil : "keys in the others go by when_store_fails"))
                    for node in slots.nodes {
                        let server: RedisSettings.Address =
                            if case .ip(_, let port) = node.address, !node.hostname.isEmpty { .host(node.hostname, port: port) } else {
                                .socket(node.address)
                            }
                        findings += check(server, at: node.address, isOfCluster: true)
                    }
                    return findings
                }
            }
        }
        findings.append(LiveFinding(.error, "no server has said where the slots are"))
        return findings
    }
}
