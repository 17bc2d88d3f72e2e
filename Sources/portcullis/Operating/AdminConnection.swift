import HTTPMessage
import Supervisor
import ArgumentParser
import Authentication
import ConfigFile
import Configuration
import Control
import Processes
import System
import TLS
import Time

/// Where the running gateway is asked: its socket for operators.
struct AdminOption: ParsableArguments {
    @OptionGroup var file: ConfigurationOption
    @Option(name: .customLong("socket"), help: "The gateway's socket for operators; by default the one that the configuration names.")
    var path: String?

    /// The socket. A file with errors is no reason not to find it: a reload is to tell what they are.
    var socket: AdminConnection {
        get throws {
            if let path { return AdminConnection(path: path) }
            let diagnostics = Diagnostics()
            let directives = Parser(files: RecordingFiles(), environment: Environment.all, diagnostics: diagnostics).parse(file.config)
            guard let directive = directives.last(where: { $0.name.text == "admin" }) else {
                return AdminConnection(path: AdminSettings.standard.path)
            }
            guard let settings = AdminSettings(directive, Diagnostics()) else {
                complain("\(file.config) says that the gateway has no socket for operators: \(directive.text())")
                throw ExitCode(1)
            }
            return AdminConnection(path: settings.path)
        }
    }
}

/// Requests to the socket for operators.
struct AdminConnection {
    let path: String

    struct Response {
        let status: Int
        let body: [UInt8]

        /// What the gateway says in words.
        var message: String {
            let json = try? JSONReader.read(body)
            return json?["error"]?.string ?? json?["text"]?.string ?? String(decoding: body, as: UTF8.self)
        }
    }

    func get(_ target: String) throws -> Response { try send("GET", target) }
    func post(_ target: String, _ body: [UInt8] = []) throws -> Response { try send("POST", target, body) }

    /// A part of the gateway's state.
    func part(_ name: String) throws -> JSONValue {
        let response = try get("/v1/\(name)")
        guard response.status == 200 else {
            complain("the gateway answers \(response.status): \(response.message)")
            throw ExitCode(1)
        }
        do {
            return try JSONReader.read(response.body, valuesMax: 1 << 20)
        } catch {
            complain("the gateway's answer cannot be read: \(error.rawValue)")
            throw ExitCode(1)
        }
    }

    private func send(_ method: String, _ target: String, _ content: [UInt8] = []) throws -> Response {
        let context = try ClientContext(trustedPEM: nil, certificate: nil)
        let client = HTTPSClient(context, bodyBytesMax: 64 << 20, within: .seconds(90))
        let body = method == "POST" ? "Content-Type: application/json\r\nContent-Length: \(content.count)\r\n" : ""
        do {
            let response = try client.exchange(
                "\(method) \(target) HTTP/1.1\r\nHost: portcullis\r\n\(body)Connection: close\r\n\r\n"
                    + String(decoding: content, as: UTF8.self), with: "portcullis", at: .unix(path),
                isSecure: false)
            return Response(status: response.head.status, body: response.body)
        } catch {
            complain(
                """
                no gateway answers at \(path): \(error.reason)
                hint: is it running, has it 'admin' in its configuration, and may you use its socket? Another one is named with --socket PATH;
                where the file has just moved or removed it, send SIGHUP to the main process
                """)
            throw ExitCode(3)
        }
    }
}
