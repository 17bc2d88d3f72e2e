import ConfigFile
import Routing

/// Which server nginx takes for which host: names belong to the first server of an address that has them, all else to its default.
struct ServerNames {
    /// What is a server's own.
    struct Own {
        var hosts: [String] = []
        /// Whether it serves hosts that no server names.
        var isGeneral = false
        /// Names that no route can be for.
        var refused: [String] = []
        /// Names that another server has.
        var lost: [String] = []
        var directive: NginxDirective?
    }

    private var owns: [Int: Own] = [:]

    init(_ servers: [(NginxServer, [Importer.Listen])]) {
        var defaults: [String: Int] = [:]
        for (server, listens) in servers {
            for listen in listens
            where listen.directive.arguments.contains("default_server") || listen.directive.arguments.contains("default") {
                if defaults[listen.address] == nil { defaults[listen.address] = server.directive.id }
            }
        }
        for (server, listens) in servers {
            for listen in listens where defaults[listen.address] == nil { defaults[listen.address] = server.directive.id }
        }
        var claims: [String: Int] = [:]
        for (server, listens) in servers {
            let directives = server.scope.here.filter { $0.name == "server_name" }
            let names = directives.flatMap(\.arguments)
            var own = Own(directive: directives.first)
            let isDefault = listens.contains { defaults[$0.address] == server.directive.id }
            let unnamed = names.filter {
                $0 == "_" || $0.isEmpty || $0 == "$hostname" || $0 == "localhost" && isDefault && names.count == 1
            }
            for name in names where !unnamed.contains(name) {
                if name.hasPrefix("~") || name.hasSuffix(".*") || !Self.isHost(name) {
                    own.refused.append(name)
                    continue
                }
                for host in name.hasPrefix(".") ? [String(name.dropFirst()), "*" + name] : [name] {
                    let host = host.lowercased()
                    var isOwner = false
                    for listen in listens {
                        let key = "\(listen.address) \(host)"
                        if claims[key] == nil { claims[key] = server.directive.id }
                        isOwner = isOwner || claims[key] == server.directive.id
                    }
                    if !isOwner { own.lost.append(host) } else if !own.hosts.contains(host) { own.hosts.append(host) }
                }
            }
            own.isGeneral = own.hosts.isEmpty && own.refused.isEmpty && own.lost.isEmpty && isDefault
            owns[server.directive.id] = own
        }
    }

    func own(_ server: NginxServer) -> Own { owns[server.directive.id] ?? Own() }

    private static func isHost(_ name: String) -> Bool {
        let text = name.hasPrefix(".") ? "*" + name : name
        return HostPattern(Word(text: text, position: Position(file: 0, offset: 0, length: 0), isQuoted: true), Diagnostics()) != nil
    }
}
