import System
import Observability
import Processes

/// What the gateway says of itself.
extension ControlProcess {
    /// Keeps what a process has said, here and for those that come after this one.
    func note(_ event: ProgramEvent) {
        keep(event)
        supervisor?.send(EventMessage.output(event))
    }

    func keep(_ event: ProgramEvent) {
        if events.count >= EventMessage.keptMax { events.removeFirst() }
        events.append(event)
    }

    /// A worker has said something, which stands in its own log already.
    func took(event bytes: [UInt8], of slot: Int) {
        guard let level = bytes.first.flatMap({ LogLevel(rawValue: $0) }) else { return }
        let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
        note(ProgramEvent(at: loop.wallSeconds, level, by: "worker \(slot)", text))
    }
}
