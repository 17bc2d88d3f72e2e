import ConfigFile
import Configuration

extension PolicyTestRun {
    /// For a terminal: each failure with what was got, and the sum.
    package func text(withCoverage: Bool) -> String {
        var lines: [String] = []
        for result in failures {
            lines.append("FAIL  \(result.test)  \(result.tested.line)   \(result.tested.text)")
            lines.append("      got: \(result.failure ?? "")")
        }
        lines.append("\(results.count - failures.count) of \(results.count) hold.")
        if withCoverage {
            let open = coverage.demands.filter { !$0.isCovered }
            lines[lines.count - 1] +=
                "  Demands with an allowed and a refused case: \(coverage.covered) of \(coverage.demands.count)"
                + (open.isEmpty ? "." : "; not:")
            for demand in open {
                let lacks = demand.wasMet ? "none refused by it" : demand.hasRefused ? "none allowed" : "none"
                lines.append("      \(demand.line)   \(demand.route)   \(demand.text)   \(lacks)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// For a program.
    package var json: String {
        var output = JSONText()
        output.object { output in
            output.member("version", 1)
            output.member("cases", results.count)
            output.member("failed", failures.count)
            output.objects("results", of: results) { output, result in
                output.member("test", result.test)
                output.member("case", result.tested.text)
                output.place(result.tested.line)
                output.member("ok", result.failure == nil)
                if let failure = result.failure { output.member("got", failure) }
            }
            output.object("coverage") { output in
                output.member("demands", coverage.demands.count)
                output.member("covered", coverage.covered)
                output.objects("uncovered", of: coverage.demands.filter { !$0.isCovered }) { output, demand in
                    output.member("route", demand.route)
                    output.member("demand", demand.text)
                    output.place(demand.line)
                    output.member("allowed", demand.wasMet)
                    output.member("refused", demand.hasRefused)
                }
            }
        }
        return output.text + "\n"
    }

    /// For a build server: JUnit's XML, a suite for each test.
    package var junit: String {
        var names: [String] = []
        for result in results where names.last != result.test { names.append(result.test) }
        var text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"\(results.count)\" failures=\"\(failures.count)\">\n"
        for name in names {
            let own = results.filter { $0.test == name }
            let failed = own.count { $0.failure != nil }
            text += "  <testsuite name=\"\(Self.escaped(name))\" tests=\"\(own.count)\" failures=\"\(failed)\">\n"
            for result in own {
                let line = result.tested.line
                text += "    <testcase classname=\"\(Self.escaped(name))\" name=\"\(Self.escaped(result.tested.text))\""
                text += " file=\"\(Self.escaped(line.file))\" line=\"\(line.line)\""
                guard let failure = result.failure else {
                    text += "/>\n"
                    continue
                }
                text += ">\n      <failure message=\"got: \(Self.escaped(failure))\"/>\n    </testcase>\n"
            }
            text += "  </testsuite>\n"
        }
        return text + "</testsuites>\n"
    }

    /// For an attribute of XML; characters that XML has not are replaced.
    private static func escaped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            case "\"": result += "&quot;"
            case _ where scalar.value < 0x20: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}
