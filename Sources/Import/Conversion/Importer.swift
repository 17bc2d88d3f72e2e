import ConfigFile

/// Makes routes of locations, and keeps what they share: upstreams, authorizers, files of passwords, networks and limits.
final class Importer {
    let record = ImportRecord()
    let files: any FileSource
    let options: ImportOptions
    /// Of the first file: relative paths of nginx begin here.
    let folder: String

    var upstreams: [UpstreamDraft] = []
    var authorizers: [AuthorizerDraft] = []
    /// Lines of `htpasswd`, `network` and `limit`, by their names.
    var passwordFiles: [String: String] = [:]
    var networks: [(name: String, members: [String])] = []
    var limits: [GatewayLine] = []
    var routes: [ImportedRoute] = []
    var listeners: [ListenerDraft] = []
    /// Where the servers of a group of hosts listen.
    var addresses: [[String]: [String]] = [:]
    /// Servers that serve in clear, and the index of their listener.
    var clearServers: [(NginxDirective, Int)] = []
    var hostComments: [[String]: [String]] = [:]
    var places: [ImportedPlace] = []
    /// Of requests whose location says nothing of its own.
    var usualBodySize = "1m"
    /// Whether a client's address is for the gateway what it is for nginx.
    var tellsClientsExactly = true
    /// What nginx demands at each location, by its directive.
    var protections: [Int: Guard] = [:]
    /// nginx's choice of a location, by the directive of the server: its expressions are compiled once.
    private var choosers: [Int: LocationChooser] = [:]
    /// Expressions that have no routes.
    var unconverted: [UnconvertedExpression] = []
    /// Locations that an auth_request asks.
    var askedLocations: Set<Int> = []
    private var names: Set<String> = []

    init(files: any FileSource, folder: String, options: ImportOptions) {
        self.files = files
        self.folder = folder
        self.options = options
    }

    func chooser(_ server: NginxServer) -> LocationChooser {
        if let known = choosers[server.directive.id] { return known }
        let chooser = LocationChooser(server)
        choosers[server.directive.id] = chooser
        return chooser
    }

    /// A name that nothing in the file has yet.
    func uniqueName(_ wanted: String) -> String {
        var base = wanted.map { $0.isASCII && ($0.isLetter || $0.isNumber || "_-".contains($0)) ? String($0) : "-" }.joined()
        while base.hasPrefix("-") || base.hasPrefix("_") { base.removeFirst() }
        while base.hasSuffix("-") || base.hasSuffix("_") { base.removeLast() }
        if base.isEmpty { base = "service" }
        var name = base
        var number = 2
        while ["any", "off", "on", "nobody", "memory"].contains(name) || !names.insert(name).inserted {
            name = "\(base)-\(number)"
            number += 1
        }
        return name
    }

    /// A path of a file as it is written: relative ones begin at the folder of the first file.
    func path(_ name: String) -> String { name.hasPrefix("/") || !folder.hasPrefix("/") ? name : folder + name }

    /// The directives of a scope that close what stands below them, with the reason.
    func closings(_ scope: NginxScope) -> [Refused] {
        scope.levels.flatMap { level in
            level.compactMap { directive in
                guard case .refused(let reason) = DirectiveMeaning(directive.name) else { return nil }
                return Refused(reason: reason, directive: directive)
            }
        }
    }

    /// A text in the gateway's words, or the reason why there are none.
    func translated(
        _ text: String, in scope: NginxScope, for directive: NginxDirective, _ authorizer: AuthorizerDraft? = nil
    ) throws(Refused) -> String {
        let variables = NginxVariables(scope)
        do {
            return try variables.translated(NginxText(text)) { field in authorizer?.claim(for: field, called: nil) }
        } catch {
            let reason =
                error.variable.hasPrefix("upstream_http_")
                ? "$\(error.variable) is of an auth_request that does not hold here"
                : error.isLogic
                    ? "$\(error.variable) depends on logic, of which the gateway has none" : "$\(error.variable) has no counterpart"
            throw Refused(reason: reason, directive: directive)
        }
    }
}
