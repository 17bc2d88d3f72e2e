import Administration
import Bytes
import Configuration
import HTTPMessage
import Observability
import Processes
import RateLimiting
import System

/// What the control process answers to operators, load balancers and monitors.
final class LocalServices {
    /// What the answers are made of.
    struct Sources {
        let state: () -> GatewayState
        let scrape: Scrape
        /// Has the supervisor do something; then the outcome.
        let command: (String, @escaping (_ isDone: Bool, _ text: String) -> Void) -> Void
        /// What is wrong with the process itself; nil while it is well.
        let complaint: () -> String?
        let certificates: () -> JSON
        let servers: () -> [ServerView]
        /// What the gateway has said of itself lately, the last at the end.
        let events: () -> [ProgramEvent]
        let logLevel: () -> LogLevel
        /// Closes the gateway for maintenance, or opens it.
        let setClosed: (Bool) -> Void
        let isClosed: () -> Bool
        /// Takes a server out, or back in, by its own name and its upstream's; false where there is none.
        let setDrained: (_ isDrained: Bool, _ server: String, _ upstream: String) -> Bool
        /// Asks a worker of a limit, or has it change something.
        let askLimit: (LimitQuestion, PeerCredentials?, @escaping (LimitAnswer) -> Void) -> Void
    }

    private let settings: Settings
    private let sources: Sources
    private let loop: EventLoop
    private let report: (String) -> Void
    /// By role and place.
    private var servers: [[UInt64]: LocalServer] = [:]
    /// Those that take no more connections, and have responses on their way.
    private var leaving: [LocalServer] = []

    init(_ settings: Settings, _ sources: Sources, on loop: EventLoop, report: @escaping (String) -> Void) {
        self.settings = settings
        self.sources = sources
        self.loop = loop
        self.report = report
    }

    /// Serves a socket.
    ///
    /// - Parameter place: among those of this role.
    func serve(_ socket: consuming Descriptor, as role: LocalRole, place: Int) {
        // It may be told of again.
        guard servers[[role.rawValue, UInt64(place)]] == nil else { return }
        let key = [role.rawValue, UInt64(place)]
        do {
            switch role {
            case .admin:
                guard let admin = settings.admin else { return }
                guard let owner = LocalFiles.owner(of: admin.path) else {
                    return report("\(admin.path) is not served: the user of the workers cannot look into its folder")
                }
                servers[key] =
                    try LocalServer(
                        socket, on: loop, admission: { Self.mayAdminister($0, owner, mode: admin.mode) },
                        handler: AdminEndpoints(settings, sources))
            case .health:
                guard settings.health.indices.contains(place) else { return }
                let health = settings.health[place]
                servers[key] =
                    try LocalServer(
                        socket, on: loop, networks: health.networks,
                        handler: HealthEndpoints(sources, tellsMetrics: health.tellsMetrics))
            }
        } catch {
            report("a local socket cannot be served: \(error)")
        }
    }

    /// Root, the owner of the socket, and those of its group, as its mode has it. The mode alone would do; this holds too where it was changed by hand.
    private static func mayAdminister(_ peer: PeerCredentials, _ owner: (user: UInt32, group: UInt32), mode: UInt32) -> Bool {
        peer.user == 0 || peer.user == owner.user || mode & 0o002 != 0 || mode & 0o020 != 0 && peer.groups.contains(owner.group)
    }

    /// Another process serves the sockets from now on.
    func leave() {
        for server in servers.values { server.close() }
        leaving = (leaving + servers.values).filter(\.isBusy)
        servers = [:]
    }

    /// Whether a response is still on its way.
    var isBusy: Bool { servers.values.contains(where: \.isBusy) || leaving.contains(where: \.isBusy) }
}
