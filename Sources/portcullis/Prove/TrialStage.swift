import ArgumentParser
import CLinux
import Import
import Supervisor
import System

/// The processes of a trial: the services, nginx with the old file and the gateway with the new one.
final class TrialStage {
    private(set) var ports = Trial.Ports()
    private let folder: String
    private var processes: [pid_t] = []

    /// - Parameter folder: of the file of nginx, in which relative paths begin.
    init(_ trial: Trial, _ credentials: DemoCredentials, folder source: String) throws {
        folder = try Self.temporaryFolder()
        do {
            try start(trial, credentials, source)
        } catch {
            end()
            throw error
        }
    }

    private func start(_ trial: Trial, _ credentials: DemoCredentials, _ source: String) throws {
        ports.folder = folder
        (ports.certificate, ports.key) = (folder + "/tls.crt", folder + "/tls.key")
        try LocalFiles.write(credentials.certificatePEM, to: ports.certificate)
        try LocalFiles.write(credentials.privateKeyPEM, to: ports.key)
        for name in trial.passwordFiles where !name.contains("/") {
            if let content = try? LocalFiles.read(source + "/" + name) { try LocalFiles.write(content, to: folder + "/" + name) }
        }
        var sockets: [Int32] = []
        for service in trial.services {
            let socket = try Socket.bind(to: SocketAddress("127.0.0.1:0")!).duplicate(atLeast: 512)
            try Socket.startListening(socket.raw)
            ports.services[service] = Socket.localPort(socket.raw)
            sockets.append(socket.release())
        }
        // Held until all are chosen, so that none is chosen twice.
        var holders: [Int32] = []
        for (address, _) in trial.listeners {
            ports.nginx[address] = try Self.freePort(&holders)
            ports.gateway[address] = try Self.freePort(&holders)
        }
        for holder in holders { close(holder) }
        let arguments =
            trial.services.flatMap { ["--service", trial.names[$0] ?? $0] } + trial.authorizerPaths.flatMap { ["--authorizer", $0] }
            + trial.claimFields.flatMap { ["--field", $0] }
        processes.append(try Child.start(["trial-service"] + arguments, passing: sockets, environment: Environment.all))
        for socket in sockets { close(socket) }
    }

    /// Ends the trial if somebody asked for that meanwhile, by Ctrl-C or SIGTERM, which `TrialRun` keeps from ending this process at once.
    func throwIfInterrupted() throws {
        var pending = sigset_t()
        // SAFETY: the set lives for the calls.
        unsafe sigpending(&pending)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] where unsafe sigismember(&pending, number) == 1 {
            throw TrialError(reason: "the trial was interrupted")
        }
    }

    /// Keeps the signals that end a process waiting, so that what was started is ended first.
    static func holdSignals() {
        var set = sigset_t()
        // SAFETY: the set lives for the calls.
        unsafe sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM] { unsafe _ = sigaddset(&set, number) }
        unsafe sigprocmask(SIG_BLOCK, &set, nil)
    }

    /// Starts nginx; directives that it does not know are left out, and returned.
    func startNginx(_ trial: Trial) throws -> Set<String> {
        guard let nginx = Self.program("nginx") else {
            throw TrialError(reason: "--prove needs nginx on this machine, and there is none: install it, or leave --prove out")
        }
        var unknown: Set<String> = []
        let file = folder + "/nginx.conf"
        while true {
            try LocalFiles.write(Array(trial.nginx(ports, without: unknown).utf8), to: file)
            let (status, messages) = try Self.run(
                nginx, ["-t", "-q", "-p", folder, "-c", file, "-e", folder + "/start.log"], log: folder + "/start.log")
            if status == 0 { break }
            guard let name = Self.unknownDirective(messages), unknown.insert(name).inserted, unknown.count < 64 else {
                throw TrialError(reason: "nginx does not take its file for the trial:\n\(messages)")
            }
        }
        processes.append(
            try Child.start(
                ["-p", folder, "-c", file, "-e", folder + "/error.log", "-g", "daemon off;"], passing: [], executable: nginx,
                environment: Environment.all))
        return unknown
    }

    func startGateway(_ trial: Trial) throws {
        let file = folder + "/gateway.conf"
        try LocalFiles.write(Array(trial.gateway(ports).utf8), to: file)
        processes.append(try Child.start(["run", "--config", file], passing: [], environment: Environment.all))
    }

    func end() {
        for process in processes.reversed() where process > 0 {
            kill(process, SIGTERM)
            var status: Int32 = 0
            // SAFETY: `status` lives for the call.
            unsafe waitpid(process, &status, 0)
        }
        _ = try? Self.run("/bin/rm", ["-rf", folder], log: nil)
    }

    /// The name in nginx's message about a directive that none of its modules has.
    private static func unknownDirective(_ messages: String) -> String? {
        let words = messages.split(separator: "\"")
        guard messages.contains("unknown directive"), let index = words.firstIndex(where: { $0.hasSuffix("unknown directive ") }) else {
            return nil
        }
        return words.dropFirst(index + 1).first.map(String.init)
    }

    /// Runs a program to its end; its status, and what it wrote to `log`.
    private static func run(_ program: String, _ arguments: [String], log: String?) throws -> (Int32, String) {
        if let log { try? LocalFiles.write([], to: log) }
        let process = try Child.start(arguments, passing: [], executable: program, environment: Environment.all)
        var status: Int32 = 0
        // SAFETY: `status` lives for the call.
        unsafe waitpid(process, &status, 0)
        return (status, log.flatMap { try? LocalFiles.read($0) }.map { String(decoding: $0, as: UTF8.self) } ?? "")
    }

    private static func program(_ name: String) -> String? {
        let folders =
            (Environment.all["PATH"] ?? "").split(separator: ":").map(String.init) + [
                "/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin",
            ]
        return folders.map { "\($0)/\(name)" }.first { LocalFiles.signature(of: $0) != nil }
    }

    private static func freePort(_ holders: inout [Int32]) throws -> UInt16 {
        let holder = try Socket.bind(to: SocketAddress("127.0.0.1:0")!, isShared: false)
        guard let port = Socket.localPort(holder.raw) else { throw TrialError(reason: "no port is free") }
        holders.append(holder.release())
        return port
    }

    private static func temporaryFolder() throws -> String {
        let base = Environment.all["TMPDIR"] ?? "/tmp"
        var name = Array((base + "/portcullis-trial-" + String(repeating: "X", count: 6)).utf8CString)
        // SAFETY: the name is terminated, and is changed within its length.
        guard unsafe name.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil else { throw SystemError("mkdtemp") }
        return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Why a trial did not come about.
struct TrialError: Error {
    let reason: String
}
