import ArgumentParser
import CLinux
import Configuration
import Control
import HTTPMessage
import Processes
import Supervisor
import System
import TLS

/// The processes of the demonstration: the service behind and the gateway.
final class DemoStage {
    let port: UInt16
    private var backend: pid_t = -1
    private var supervisor: pid_t = -1

    init(_ credentials: DemoCredentials) throws {
        let backendSocket = try Socket.bind(to: SocketAddress("127.0.0.1:0")!).duplicate(atLeast: 64)
        try Socket.startListening(backendSocket.raw)
        guard let backendPort = Socket.localPort(backendSocket.raw) else { throw ValidationError("no port is free") }
        let portHolder = try Socket.bind(to: SocketAddress("127.0.0.1:0")!)
        guard let port = Socket.localPort(portHolder.raw) else { throw ValidationError("no port is free") }
        self.port = port
        // The gateway's own socket shares the port (SO_REUSEPORT); this one must be gone before anybody connects.
        _ = consume portHolder
        backend = try Child.start(["demo-backend"], passing: [backendSocket.raw], environment: Environment.all)
        let configuration = Self.configuration(port: port, backendPort: backendPort)
        let files = try [Array(configuration.utf8), credentials.certificatePEM, credentials.privateKeyPEM, credentials.keySet].map {
            content in
            try LocalFiles.memoryFile(content).duplicate(atLeast: 64).release()
        }
        supervisor = try Child.start(["run", "--config", "/proc/self/fd/3"], passing: files, environment: Environment.all)
        for file in files { close(file) }
    }

    /// Until Ctrl-C or a request to end.
    func waitForInterrupt() {
        var set = sigset_t()
        var received: Int32 = 0
        // SAFETY: the set and the number live for the calls.
        unsafe sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP] { unsafe _ = sigaddset(&set, number) }
        unsafe sigprocmask(SIG_BLOCK, &set, nil)
        unsafe sigwait(&set, &received)
    }

    func end() {
        for process in [supervisor, backend] where process > 0 {
            kill(process, SIGTERM)
            var status: Int32 = 0
            // SAFETY: `status` lives for the call.
            unsafe waitpid(process, &status, 0)
        }
    }

    private static func configuration(port: UInt16, backendPort: UInt16) -> String {
        """
        workers 2;
        security_log off;
        listen 127.0.0.1:\(port) { tls { certificate /proc/self/fd/4 /proc/self/fd/5; } }
        token { cookie access_token; header Authorization; }
        issuer demo {
            url          https://sso.demo.example;
            keys         /proc/self/fd/6;
            audience     api.demo.example;
            algorithms   EdDSA;
            require      token_type = access;
            scope_match  usso;
        }
        limit per_user { rate 5/minute; key $claim.sub; }
        upstream orders { server 127.0.0.1:\(backendPort); }
        route /api/orders/** {
            upstream orders;
            auth     demo;
            scope    read:orders;
            set_header X-User-Id $claim.sub;
        }
        route /api/limited {
            upstream orders;
            auth     demo;
            limit    per_user;
            set_header X-User-Id $claim.sub;
        }
        route /health { upstream orders; public; }

        """
    }
}
