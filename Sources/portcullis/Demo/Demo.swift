import ArgumentParser
import CLinux
import Configuration
import Control
import HTTPMessage
import Processes
import Supervisor
import System
import TLS

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the gateway at work: embedded configuration, no files, no Redis.",
        discussion: """
            Makes a certificate, a signing key and tokens in memory, starts a small service and the real gateway before it, sends \
            requests through TLS, prints what happened, and stays up for requests of yours.
            """)

    @Flag(help: "End after the table; exit with 0 only if every row came out as it should.") var selfCheck = false

    func run() throws {
        ProcessRights.ignoreSignals([SIGPIPE])
        guard let credentials = DemoCredentials() else { throw ValidationError("OpenSSL could not make keys") }
        let stage = try DemoStage(credentials)
        defer { stage.end() }
        let tour = DemoTour(stage, credentials)
        let isRight = try tour.run()
        if selfCheck {
            print(isRight ? "every row came out as it should" : "some rows did not come out as they should")
            throw ExitCode(isRight ? 0 : 1)
        }
        tour.printCommands()
        stage.waitForInterrupt()
    }
}
