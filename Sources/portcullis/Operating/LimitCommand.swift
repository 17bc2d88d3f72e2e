import Administration
import ArgumentParser
import Authentication

/// `portcullis limit show|reset|set|top`.
struct LimitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limit",
        abstract: "Show what is left of a key's quota, give it back, or see which keys come most.",
        discussion:
            "KEY is a value for each variable of the limit's key, in their order: `portcullis limit show per_user alice`. A claim that is a list is [a,b]; ~ADDRESS stands for a request that has no value, for which its address is counted. Where the limit stands in Redis, the gateway asks there, so it holds for all gateways. What is changed is told in the gateway's messages.",
        subcommands: [Show.self, Reset.self, Set.self, Top.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what is left of a key's quota.")
        @OptionGroup var key: Key
        func run() throws { try key.ask("show") }
    }

    struct Reset: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give a key its whole quota back, and open a lock.")
        @OptionGroup var key: Key
        func run() throws { try key.ask("reset") }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Say how much of its quota a key has used.")
        @Option(help: "So many requests.") var used: UInt64
        @OptionGroup var key: Key
        func run() throws { try key.ask("set", [("used", .number(used))]) }
    }

    struct Top: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the keys that come most, on this host, lately: an estimate from one request of sixteen.")
        @OptionGroup var admin: AdminOption
        @Flag(help: "Print JSON.") var json = false
        @Argument(help: "The limit's name.") var limit: String

        func run() throws {
            let response = try LimitCommand.post([("action", .text("top")), ("limit", .text(limit))], admin)
            if json { return print(String(decoding: response.body, as: UTF8.self), terminator: "") }
            guard case .array(let keys)? = (try? JSONReader.read(response.body))?["keys"] else { return }
            for key in keys { print("\(pad(key["requests"]?.number?.text ?? "", 10)) \(printable(key["key"]?.string ?? ""))") }
        }
    }

    struct Key: ParsableArguments {
        @OptionGroup var admin: AdminOption
        @Option(help: "Which plan's quota is meant, of a limit with plans.") var plan: String?
        @Flag(help: "Print JSON.") var json = false
        @Argument(help: "The limit's name.") var limit: String
        @Argument(parsing: .remaining, help: "A value for each variable of its key.") var key: [String] = []

        func ask(_ action: String, _ more: [(String, JSON)] = []) throws {
            let members: [(String, JSON)] =
                [("action", .text(action)), ("limit", .text(limit)), ("key", .array(key.map { .text($0) })), ("plan", .text(plan ?? ""))]
                + more
            let response = try LimitCommand.post(members, admin)
            if json { return print(String(decoding: response.body, as: UTF8.self), terminator: "") }
            guard case .array(let places)? = (try? JSONReader.read(response.body))?["places"] else { return }
            for place in places {
                func number(_ name: String) -> UInt64 { place[name]?.number.flatMap { UInt64($0.text) } ?? 0 }
                let wait = number("retry_after_ms")
                let whole = number("reset_after_ms")
                var text = "\(printable(place["place"]?.string ?? "")): \(number("remaining")) left"
                if wait > 0 { text += ", more in \(LimitCommand.time(wait))" }
                if whole > 0 { text += ", whole in \(LimitCommand.time(whole))" }
                print(text)
            }
        }
    }

    private static func post(_ members: [(String, JSON)], _ admin: AdminOption) throws -> AdminConnection.Response {
        let response = try admin.socket.post("/v1/limits", JSON.object(members).line)
        guard response.status == 200 else {
            complain(printable(response.message))
            throw ExitCode(1)
        }
        return response
    }

    private static func time(_ milliseconds: UInt64) -> String {
        milliseconds < 1_000 ? "\(milliseconds) ms" : "\((milliseconds + 999) / 1_000) s"
    }
}
