import Testing

@testable import System

/// Answers of the DNS, as they come and as they should not.
@Suite("DNS answers") struct DNSQueryTests {
    private func name(_ text: String) -> [UInt8] { text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }
    private func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

    private func record(_ owner: [UInt8], _ kind: Int, seconds: Int = 60, class type: Int = 1, _ data: [UInt8]) -> [UInt8] {
        owner + number(kind) + number(type) + number(seconds >> 16) + number(seconds) + number(data.count) + data
    }

    private func message(_ answers: [[UInt8]], additional: [[UInt8]] = [], question: String = "_http._tcp.a.test") -> [UInt8] {
        [0, 7, 0x81, 0x80] + number(1) + number(answers.count) + number(0) + number(additional.count) + name(question) + number(33)
            + number(1)
            + answers.joined() + additional.joined()
    }

    @Test("Services with their targets, and what the server adds") func services() throws {
        let owner: [UInt8] = [0xC0, 12]
        let answer = try #require(
            DNSQuery.read(
                message(
                    [
                        record(owner, 33, number(10) + number(5) + number(8080) + name("One.a.test")),
                        record(owner, 33, seconds: 5, number(20) + number(0) + number(81) + name("two.a.test")),
                        record(owner, 33, number(0) + number(0) + number(0) + [0]),
                        record(owner, 16, [3, 1, 2, 3]),
                    ],
                    additional: [
                        record(name("one.a.test"), 1, [192, 0, 2, 7]),
                        record(name("one.a.test"), 28, [0x20, 1, 0x0D, 0xB8] + Array(repeating: 0, count: 11) + [9]),
                        record(name("one.a.test"), 1, class: 3, [192, 0, 2, 8]),
                    ])))
        #expect(
            answer.records == [
                DNSQuery.Record(
                    name: "_http._tcp.a.test", seconds: 60,
                    content: .service(priority: 10, weight: 5, port: 8080, target: "one.a.test")),
                DNSQuery.Record(
                    name: "_http._tcp.a.test", seconds: 5, content: .service(priority: 20, weight: 0, port: 81, target: "two.a.test")),
                DNSQuery.Record(name: "_http._tcp.a.test", seconds: 60, content: .service(priority: 0, weight: 0, port: 0, target: "")),
            ])
        #expect(
            answer.additional.map(\.content) == [.address(IPAddress("192.0.2.7")!), .address(IPAddress("2001:db8::9")!)])
    }

    @Test("What is no answer is none, and a name that could be anything else is passed over") func malformed() {
        #expect(DNSQuery.read([]) == nil)
        let good = message([record([0xC0, 12], 33, number(1) + number(1) + number(1) + name("a.test"))])
        for count in 0..<good.count { #expect(DNSQuery.read(Array(good[..<count])) == nil, "\(count)") }
        // A target that points at itself, one beyond the end, and one with a line's end in it.
        for target: [UInt8] in [[0xC0, 62], [0xC0, 0xFF], [3, 97, 13, 10, 0], [3, 97, 32, 98, 0], [2, 97, 47, 0], [63, 97]] {
            let answer = DNSQuery.read(message([record([0xC0, 12], 33, number(1) + number(1) + number(1) + target)]))
            #expect(answer?.records.isEmpty ?? true, "\(target)")
        }
        #expect(DNSQuery.read(message([record([0xC0, 12], 33, [0, 1, 0, 1])]))?.records == [])
        #expect(DNSQuery.read(message([record([0xC0, 12], 1, [127, 0, 0])]))?.records == [])
    }
}
