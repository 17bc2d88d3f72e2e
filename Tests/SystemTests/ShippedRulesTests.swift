import Foundation
import Testing

/// What is shipped for Prometheus and Grafana.
@Suite("Shipped rules") struct ShippedRulesTests {
    private let folder = "\(Executable.root)/deploy/prometheus"

    private func text(_ path: String) throws -> String { try String(contentsOfFile: "\(Executable.root)/\(path)", encoding: .utf8) }

    /// The names of metrics in a text, without what histograms append.
    private func metrics(in text: String) -> Set<String> {
        var names: Set<String> = []
        for part in text.components(separatedBy: "portcullis_").dropFirst() {
            var name = String(part.prefix { $0.isLowercase || $0 == "_" })
            for ending in ["_bucket", "_count", "_sum"] where name.hasSuffix(ending) { name = String(name.dropLast(ending.count)) }
            names.insert(name)
        }
        return names
    }

    private var documented: Set<String> {
        get throws {
            let rows = try text("docs/metrics.md").split(separator: "\n").filter { $0.hasPrefix("| `portcullis_") }
            return Set(rows.compactMap { $0.dropFirst("| `portcullis_".count).split(separator: "`").first.map(String.init) })
        }
    }

    @Test("The alerts fire on what they are for, and on nothing else")
    func alerts() throws {
        let checked = try run("/usr/bin/promtool", ["check", "rules", "\(folder)/portcullis.rules.yml"])
        #expect(checked.status == 0, "\(checked.text)\(checked.errors)")
        let tested = try run("/usr/bin/promtool", ["test", "rules", "\(folder)/portcullis.rules.test.yml"])
        #expect(tested.status == 0, "\(tested.text)\(tested.errors)")
        // Each of them is tested both ways, and explained.
        let names = try text("deploy/prometheus/portcullis.rules.yml").components(separatedBy: "- alert: ").dropFirst()
            .map { String($0.prefix { $0.isLetter }) }
        let (tests, guide) = (try text("deploy/prometheus/portcullis.rules.test.yml"), try text("docs/operating.md"))
        #expect(names.count > 20)
        for name in names {
            #expect(tests.contains("alertname: \(name)\n") && tests.contains("alertname: \(name), exp_alerts: []"), "\(name)")
            #expect(guide.contains("### \(name)\n"), "\(name)")
        }
    }

    @Test("Rules and dashboard name metrics that there are")
    func names() throws {
        let known = try documented
        #expect(known.count > 40)
        for file in ["deploy/prometheus/portcullis.rules.yml", "deploy/grafana/portcullis.json", "docs/operating.md"] {
            #expect(metrics(in: try text(file)).subtracting(known) == [], "\(file)")
        }
        let dashboard = try JSONSerialization.jsonObject(with: Data(try text("deploy/grafana/portcullis.json").utf8)) as? [String: Any]
        #expect((dashboard?["panels"] as? [[String: Any]])?.count ?? 0 > 15)
    }
}
