import Import
import Testing

/// What a trial takes for a difference.
@Suite struct ComparisonTests {
    private func outcome(_ status: Int, _ fields: [(name: String, value: String)] = [], _ body: String = "") -> ProbeOutcome {
        ProbeOutcome(status: status, fields: fields, body: body)
    }

    private func asked(_ fields: String = "", target: String = "/x", service: String = "a:1") -> String {
        "service \(service)\nmethod GET\ntarget \(target)\n\(fields)"
    }

    private func compare(_ nginx: ProbeOutcome, _ gateway: ProbeOutcome, _ known: Set<KnownDifference> = [], at index: Int = 0)
        -> [KnownDifference?]
    {
        let probe = Probe.all(ImportedPlace(pattern: "/p/**", host: "h.example", differences: known), forged: ["X-User"])[index]
        return ProbeComparison(probe, nginx: nginx, gateway: gateway).differences.map(\.known)
    }

    @Test func anOpeningIsNeverKnown() {
        // nginx refuses, and the gateway asks the service: whatever the path looks like, that is told.
        let probes = Probe.all(
            ImportedPlace(pattern: "/p/**", host: "h.example", differences: [.signInForBrowsersAlone, .slashRedirect]), forged: [])
        for probe in probes where !probe.description.contains("/p by") && !probe.description.contains("/p/ by") {
            let comparison = ProbeComparison(probe, nginx: outcome(401), gateway: outcome(200, [], asked()))
            #expect(comparison.differences.count == 1 && comparison.differences[0].known == nil, "\(probe.description)")
        }
    }

    @Test func whatTheImportSaidIsKnown() {
        #expect(compare(outcome(302), outcome(401), [.signInForBrowsersAlone]) == [.signInForBrowsersAlone])
        #expect(compare(outcome(302), outcome(401)) == [nil])
        #expect(compare(outcome(500), outcome(503), [.authorizerStatus]) == [.authorizerStatus])
        #expect(compare(outcome(200, [], asked()), outcome(501)) == [.closed])
    }

    @Test func whatTheServiceGetsIsCompared() {
        let nginx = outcome(200, [], asked("field X-User: ann\nfield Host: h\nfield X-Forwarded-For: 1"))
        #expect(compare(nginx, nginx) == [])
        #expect(compare(nginx, outcome(200, [], asked("field Host: h"))) == [nil])
        #expect(compare(nginx, outcome(200, [], asked("field X-User: bob\nfield Host: h"))) == [nil])
        #expect(compare(nginx, outcome(200, [], asked("field X-User: ann\nfield Host: h", target: "/y"))) == [nil])
        #expect(compare(nginx, outcome(200, [], asked("field X-User: ann\nfield Host: h", service: "b:1"))) == [nil])
        #expect(compare(nginx, outcome(200)) == [nil])
        let forged = outcome(200, [], asked("field X-User: forged"))
        #expect(compare(forged, outcome(200, [], asked())) == [.setFieldsTaken])
        #expect(compare(outcome(200, [], asked()), forged) == [nil])
    }

    @Test func whatTheClientGetsIsCompared() {
        #expect(compare(outcome(200, [("X-A", "1")]), outcome(200)) == [nil])
        #expect(compare(outcome(302, [("Location", "https://h.example:81/a")]), outcome(302, [("location", "/a")])) == [])
        #expect(
            compare(outcome(302, [("Location", "https://a.example/?rd=/x")]), outcome(302, [("Location", "https://a.example/?rd=%2Fx")]))
                == [.urlEncoding])
        #expect(compare(outcome(302, [("Location", "https://a.example/")]), outcome(302, [("Location", "https://b.example/")])) == [nil])
    }
}
