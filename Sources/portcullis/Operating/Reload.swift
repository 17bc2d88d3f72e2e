import ArgumentParser

struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have the running gateway read its configuration again, and tell what became of it.",
        discussion: """
            Waits until the new configuration takes connections. Ends with 0 where it does; with 1 where it was refused, and then the one before \
            stays in force and the errors are shown; with 3 where no gateway answers.
            """)

    @OptionGroup var admin: AdminOption

    func run() throws {
        let response = try admin.socket.post("/v1/reload")
        guard response.status == 200 else {
            complain(response.message)
            complain("the configuration is not reloaded, the one before stays in force")
            throw ExitCode(1)
        }
        print(response.message.isEmpty ? "reloaded" : response.message)
    }
}
