import System
import TLS
import Time

/// What the gateway's user may do, tried command by command: a script that meets a missing right tells the first one alone.
extension LiveCheck {
    /// Runs the commands that are named, of those that the gateway's own script uses, without writing anything that stays; returns those that are not allowed.
    private static let script = """
        local commands = {
          TIME = {}, GET = {KEYS[1]}, SET = {KEYS[1], '', 'PX', 1}, ZADD = {KEYS[1], 'XX', 0, ''}, ZREMRANGEBYSCORE = {KEYS[1], 1, 0},
          ZCARD = {KEYS[1]}, PEXPIRE = {KEYS[1], 1}, HLEN = {KEYS[1]}, HGETALL = {KEYS[1]}
        }
        local missing = {}
        for i = 1, #ARGV do
          local reply = redis.pcall(ARGV[i], unpack(commands[ARGV[i]]))
          local text = type(reply) == 'table' and reply.err or ''
          if string.find(text, 'NOPERM', 1, true) or string.find(text, 'ACL failure', 1, true) or string.find(text, "can't run", 1, true) then
            missing[#missing + 1] = ARGV[i]
          end
        end
        return missing
        """

    /// A finding for each right that is missing.
    func rights(_ server: RedisSettings.Address, at place: SocketAddress, isOfCluster: Bool) -> [LiveFinding] {
        func missing(_ command: String) -> LiveFinding {
            LiveFinding(.error, "\(place.text): its user has no right to \(command)", hint: "give it +\(command.lowercased())")
        }
        let begin = (settings.login.command.map { [$0] } ?? []) + (settings.database > 0 ? [["SELECT", String(settings.database)]] : [])
        let first = begin + [["SCRIPT", "LOAD", Self.script]] + (isOfCluster ? [["ASKING"]] : [])
        guard case .success(let replies) = hold(first, server, at: place) else { return [] }
        var findings: [LiveFinding] = []
        if isOfCluster, case .error(let text)? = replies.last, text.hasPrefix("NOPERM") { findings.append(missing("ASKING")) }
        // That it may not load a script is told elsewhere.
        guard case .string(let digest) = replies[begin.count] else { return findings }
        // Of many names some are this server's.
        let names = (0..<(isOfCluster ? namesTried : 1)).map { String(decoding: settings.keyNames.probeName($0), as: UTF8.self) }
        let calls = names.map { ["EVALSHA", String(decoding: digest, as: UTF8.self), "1", $0] + commands }
        guard case .success(let replies) = hold(begin + calls, server, at: place) else { return findings }
        for case .array(let values) in replies.dropFirst(begin.count) {
            for case .string(let name) in values { findings.append(missing(String(decoding: name.prefix(32), as: UTF8.self))) }
            break
        }
        return findings
    }

    /// Who is let in without a password may do to the limits what the server's default user may.
    func strangers(_ server: RedisSettings.Address, at place: SocketAddress) -> [LiveFinding] {
        // With the gateway's own certificate it is no stranger.
        if settings.tls?.files != nil { return [] }
        guard case .success(let replies) = hold([["PING"]], server, at: place) else { return [] }
        switch replies.first {
        case .status("PONG")?: break
        case .error(let text)? where text.hasPrefix("NOPERM"): break
        default: return []
        }
        return [
            LiveFinding(
                .warning, "\(place.text): it lets everybody in without a password: its user default has none",
                hint: "switch that user off, or give it a password: ACL SETUSER default off")
        ]
    }

    /// What is told of a connection without TLS.
    static func plaintext(_ place: SocketAddress, isTLS: Bool) -> [LiveFinding] {
        guard case .ip(let address, _) = place, !isTLS, !isLoopback(address) else { return [] }
        return [
            LiveFinding(
                .warning, "\(place.text): what is said to it goes over the network in clear, with the password", hint: "add: tls { … }")
        ]
    }

    private static func isLoopback(_ address: IPAddress) -> Bool {
        address == IPAddress("::1") || IPNetwork("127.0.0.0/8")?.contains(address) == true
    }
}

/// With so many names a server that has one slot in ten is met nearly always.
private let namesTried = 64
