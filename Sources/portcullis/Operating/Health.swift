import ArgumentParser

struct Health: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell whether the running gateway should be sent requests.",
        discussion: "Ends with 0 where it should, with 1 where it should not, with 3 where no gateway answers. For images without a shell.")

    @OptionGroup var admin: AdminOption
    @Flag(help: "Ask whether it is alive instead.") var live = false

    func run() throws {
        let response = try admin.socket.get(live ? "/livez" : "/readyz")
        print(String(decoding: response.body, as: UTF8.self), terminator: "")
        if response.status != 200 { throw ExitCode(1) }
    }
}
