import ConfigFile

/// Who may come: auth_request, auth_basic, allow and deny, satisfy.
extension Importer {
    /// - Throws: ``Refused`` where it cannot be said in routes. Nothing that is not understood is open.
    func access(_ scope: NginxScope, in server: NginxServer) throws(Refused) -> Access {
        if let verify = scope.one("ssl_verify_client"), verify.value == "on" {
            throw Refused(reason: "certificates of clients are not asked for yet", directive: verify)
        }
        var credentials: [String] = []
        if let request = scope.one("auth_request") {
            if request.value == "off" {
                record.converted(request)
            } else {
                credentials.append(try authorizer(request, in: server).name)
                record.converted(request)
            }
        }
        if let basic = scope.one("auth_basic") {
            if basic.value != "off" {
                guard let file = scope.one("auth_basic_user_file") else {
                    throw Refused(reason: "no auth_basic_user_file holds here", directive: basic)
                }
                credentials.append(try passwordFile(file))
                record.note("the password does not reach the service", file)
                record.note("a right password is remembered for five minutes, and wrong ones are limited by address", basic)
            } else {
                record.converted(basic)
            }
        }
        let networks = try networks(scope)
        let satisfy = scope.one("satisfy")
        if let satisfy { record.converted(satisfy) }
        if satisfy?.value == "any", !networks.isEmpty, !credentials.isEmpty || credentials.count > 1 {
            let name = network(networks)
            return Access(credentials: [name] + credentials, isAny: true)
        }
        if satisfy?.value == "any", credentials.count > 1 { return Access(credentials: credentials, isAny: true) }
        guard credentials.count <= 1 else {
            throw Refused(
                reason: "a route demands one credential, and here both a password and an auth_request are demanded",
                directive: scope.one("auth_basic") ?? server.directive)
        }
        return Access(credentials: credentials, networks: networks)
    }

    /// The networks that `allow` names before `deny all`; empty where everybody may come.
    private func networks(_ scope: NginxScope) throws(Refused) -> [String] {
        let rules = scope.nearest("allow", "deny")
        guard let first = rules.first else { return [] }
        var members: [String] = []
        for rule in rules {
            switch (rule.name, rule.value) {
            case ("allow", "all"):
                // What stands before it was a deny, or an allow that it takes in.
                record.converted(rule)
                return []
            case ("allow", "unix:"): throw Refused(reason: "a client of a Unix socket has no network", directive: rule)
            case ("allow", let network):
                members.append(network)
                record.converted(rule)
            case ("deny", "all"):
                guard tellsClientsExactly else {
                    throw Refused(
                        reason:
                            "which client it is about is told by a proxy in another way than the gateway reads it: X-Forwarded-For, with set_real_ip_from for all servers and real_ip_recursive on",
                        directive: rule)
                }
                record.converted(rule)
                guard !members.isEmpty else { throw Refused(reason: "nobody may come: leave the location out", directive: rule) }
                return members
            default:
                throw Refused(
                    reason: "a route says who may come, and not who may not: name those that may by from NETWORK …;", directive: rule)
            }
        }
        record.note("without deny all behind it everybody may come, as in nginx", first)
        return []
    }

    /// The name of a `network` with these members.
    private func network(_ members: [String]) -> String {
        if let known = networks.first(where: { $0.members == members }) { return known.name }
        let name = uniqueName("trusted-network")
        networks.append((name, members))
        return name
    }

    private func passwordFile(_ directive: NginxDirective) throws(Refused) -> String {
        let path = path(directive.value)
        guard !path.contains("$") else { throw Refused(reason: "the path of a file has no variables", directive: directive) }
        if let known = passwordFiles[path] { return known }
        let folderPath = directive.value.hasPrefix("/") ? directive.value : folder + directive.value
        guard let content = try? files.read(folderPath) else {
            throw Refused(reason: "\(path) cannot be read, so its hashes are not known", directive: directive)
        }
        for line in content.split(separator: 0x0A) where !line.isEmpty && line.first != UInt8(ascii: "#") {
            let text = String(decoding: line, as: UTF8.self)
            let hash = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).dropFirst().first ?? ""
            guard ["$2", "$5$", "$6$", "$y$", "$7$", "$argon2"].contains(where: { hash.hasPrefix($0) }) else {
                throw Refused(
                    reason:
                        "\(path) holds hashes that are easily broken (MD5, SHA-1, DES): make them again by htpasswd -B, and import once more",
                    directive: directive)
            }
        }
        let name = uniqueName("people")
        passwordFiles[path] = name
        return name
    }
}
