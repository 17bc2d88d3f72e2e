import Foundation
import Glibc
import TestSockets

/// dnsmasq that knows one service, _http._tcp.app.test.
final class DNSServer {
    typealias Record = (name: String, port: Int, priority: Int, weight: Int)

    private let program: Program
    private let pidFile: String

    /// - Parameter records: of each server; its name is one within app.test.
    init(_ records: [Record], port: Int, in folder: TemporaryFolder) throws {
        pidFile = "\(folder.path)/dns-\(UUID().uuidString).pid"
        let known = Set(records.map(\.name)).map { "--host-record=\($0).app.test,127.0.0.1" }
        let arguments =
            [
                "-k", "-p", "\(port)", "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts",
                "--conf-file=/dev/null",
                "--pid-file=\(pidFile)", "--user=\(NSUserName())", "--log-facility=-", "--local-ttl=1",
            ] + known
            + records.map { "--srv-host=_http._tcp.app.test,\($0.name).app.test,\($0.port),\($0.priority),\($0.weight)" }
        // dnsmasq closes every descriptor that it inherits, and Foundation takes a program whose descriptor is closed for one that has ended.
        program = try Program(
            "/bin/sh", ["-c", "/usr/sbin/dnsmasq \"$@\"; exit 0", "sh"] + arguments, log: "\(pidFile).log", stopSignal: SIGKILL)
        guard eventually({ program.log.contains("started") && process != nil }) else { throw StartFailed(log: program.log) }
    }

    deinit { stop() }

    private var process: pid_t? {
        (try? String(contentsOfFile: pidFile, encoding: .utf8)).flatMap { pid_t($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }

    func stop() {
        if program.isRunning, let process { kill(process, SIGKILL) }
        program.stop()
    }
}
