import ArgumentParser
import Configuration
import Policy
import System

struct Test: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the policy tests of the configuration.",
        discussion: """
            The blocks 'test NAME { … }' of the file and of those that 'tests PATH;' names say who may do what. Nothing is started and no \
            request is sent. A file whose tests do not hold is refused by run, reload and check too.

            Exits with 0 if all hold, 1 if one does not or the coverage is too low, 2 if the file or the command is wrong, 4 if no case ran.
            """)

    @OptionGroup var file: ConfigurationOption
    @Argument(help: "The test to run; all by default.") var name: String?
    @Flag(help: "Print JSON.") var json = false
    @Option(help: "Write JUnit's XML to this file; - for standard output.") var junit: String?
    @Option(
        defaultAsFlag: 0, help: "Say which demands have an allowed and a refused case; with a number, fail below so many per cent.")
    var coverage: Int?
    @Flag(help: "Fail if there is no case.") var failOnEmpty = false

    func run() throws {
        if json, junit == "-" { throw usage("JSON and JUnit's XML cannot both go to standard output", "write --junit FILE") }
        if let coverage, !(0...100).contains(coverage) { throw usage("\(coverage) is no percentage", "write --coverage 80") }
        let (settings, _) = try readSettings(file.config, runsTests: false, errorCode: 2)
        if let name, !settings.tests.contains(where: { $0.name == name }) {
            complain("there is no test '\(name)' in \(file.config)")
            throw ExitCode(4)
        }
        let run = PolicyTestRun(settings, named: name, at: Clock.wallSeconds())
        if let junit { try write(run.junit, to: junit) }
        if json {
            print(run.json, terminator: "")
        } else if junit != "-" {
            print(run.text(withCoverage: coverage != nil), terminator: "")
        }
        if !run.failures.isEmpty { throw ExitCode(1) }
        if failOnEmpty, run.results.isEmpty {
            complain("there is no test case in \(file.config); add: test NAME { … }")
            throw ExitCode(4)
        }
        if let coverage, run.coverage.percent < coverage {
            complain("\(run.coverage.percent) % of the demands are covered, and --coverage asks for \(coverage) %")
            throw ExitCode(1)
        }
    }

    private func write(_ text: String, to path: String) throws {
        guard path != "-" else { return print(text, terminator: "") }
        do {
            try LocalFiles.write(Array(text.utf8), to: path)
        } catch {
            complain("\(path) cannot be written: \(error.reason)")
            throw ExitCode(2)
        }
    }
}
