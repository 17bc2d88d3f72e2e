import Observability
import Processes
import System
import Testing
import UpstreamHealth

/// What processes tell each other of services and events: bounded, whatever the DNS or a process says.
@Suite("Messages of services and events") struct ServiceMessageTests {
    @Test("The longest list of servers fits into a message, and comes back as it was") func longest() throws {
        let host = String(repeating: "a", count: 253)
        let addresses = (0..<40).map { IPAddress(high: 0xFFFF_FFFF_FFFF_FFFF, low: 0xFFFF_FFFF_FFFF_0000 | UInt64($0)) }
        let servers = (0..<200).map { ServiceServer(host: host, port: UInt16($0), priority: 65_535, weight: 65_535, addresses: addresses) }
        var message = MessageWriter(.remember)
        message.text("service")
        ServiceMessage.write("_http._tcp." + host, servers, to: &message)
        #expect(message.output.count < messageBytesMax)
        var reader = MessageReader(message.output)
        #expect(reader.kind() == .remember && reader.text() == "service")
        let read = try #require(ServiceMessage.read(&reader))
        #expect(read.servers.count == ServiceMessage.serversMax && read.servers.allSatisfy { $0.addresses == Array(addresses.prefix(16)) })
    }

    @Test("A process that says very much pushes out its own words, not those of others") func events() {
        var list = EventList()
        list.add(ProgramEvent(at: 1, .error, by: "supervisor", "important"))
        for number in 0..<1_000 { list.add(ProgramEvent(at: 2, .warning, by: "worker 1", "\(number)")) }
        #expect(list.events.count == 33 && list.events.first?.text == "important" && list.events.last?.text == "999")
        for number in 0..<1_000 { list.add(ProgramEvent(at: 3, .warning, by: "worker \(number % 40)", "x")) }
        #expect(list.events.count == EventList.countMax)
    }

    @Test("An event is one line, without what a terminal obeys, and not long") func lines() {
        let event = ProgramEvent(at: 1, .warning, by: "control", "a\nb\u{1B}[2Jc" + String(repeating: "x", count: 5_000))
        #expect(!event.text.unicodeScalars.contains { $0.value < 0x20 } && event.text.utf8.count <= ProgramEvent.textBytesMax)
        var reader = MessageReader(EventMessage.output(event))
        #expect(reader.kind() == .remember && reader.text() == EventMessage.word)
        #expect(EventMessage.read(&reader) == event)
    }
}
