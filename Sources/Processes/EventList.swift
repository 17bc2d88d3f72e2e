package import Observability

/// What the gateway has said of itself lately. Of a process that says very much the oldest of its own gives way, so that others stay to be read.
package struct EventList {
    /// The last at the end.
    package private(set) var events: [ProgramEvent] = []

    package init() {}

    package mutating func add(_ event: ProgramEvent) {
        if events.count(where: { $0.source == event.source }) >= Self.ofOneSourceMax,
            let oldest = events.firstIndex(where: { $0.source == event.source })
        {
            events.remove(at: oldest)
        } else if events.count >= Self.countMax {
            events.removeFirst()
        }
        events.append(event)
    }

    package static let countMax = 128
    private static let ofOneSourceMax = 32
}
