import HTTP2

/// The streams of one connection: those that are open, by their number, and those that are over, for the next ones.
///
/// The lists are taken out while they are changed (decision 011).
final class StreamTable {
    /// In ascending order, because numbers only grow (RFC 9113 §5.1.1).
    private var open: [(number: StreamID, stream: HTTP2Stream)] = []
    /// The stream that was asked for last: what concerns one comes together.
    private var recent: (number: StreamID, stream: HTTP2Stream)?
    private var spare: [HTTP2Stream] = []

    var isEmpty: Bool { open.isEmpty }
    var all: [HTTP2Stream] { open.map(\.stream) }

    func find(_ number: StreamID) -> HTTP2Stream? {
        if let recent, recent.number == number { return recent.stream }
        var list: [(number: StreamID, stream: HTTP2Stream)] = exchange(&open, with: [])
        let place = Self.place(of: number, in: list)
        let found = place < list.count && list[place].number == number ? list[place].stream : nil
        swap(&list, &open)
        if let found { recent = (number, found) }
        return found
    }

    /// Opens a stream, with an object that has served another one if there is one.
    func begin(_ number: StreamID, on connection: HTTP2Connection) -> HTTP2Stream {
        var list: [HTTP2Stream] = exchange(&spare, with: [])
        let stream = list.popLast() ?? HTTP2Stream(connection)
        swap(&list, &spare)
        var streams: [(number: StreamID, stream: HTTP2Stream)] = exchange(&open, with: [])
        streams.insert((number, stream), at: Self.place(of: number, in: streams))
        swap(&streams, &open)
        recent = (number, stream)
        return stream
    }

    /// Takes a stream out that is over; it is given back with ``keep(_:)``.
    func end(_ number: StreamID) -> HTTP2Stream? {
        recent = nil
        var list: [(number: StreamID, stream: HTTP2Stream)] = exchange(&open, with: [])
        defer { swap(&list, &open) }
        let place = Self.place(of: number, in: list)
        guard place < list.count, list[place].number == number else { return nil }
        return list.remove(at: place).stream
    }

    /// Keeps a stream that is over for the next one.
    func keep(_ stream: HTTP2Stream) {
        guard spare.count < spareMax else { return stream.retire() }
        var list: [HTTP2Stream] = exchange(&spare, with: [])
        list.append(stream)
        swap(&list, &spare)
    }

    /// Takes all streams out that are open.
    func endAll() -> [HTTP2Stream] {
        recent = nil
        let list: [(number: StreamID, stream: HTTP2Stream)] = exchange(&open, with: [])
        return list.map(\.stream)
    }

    /// Lets go of the streams that were kept: each holds its connection.
    func retireSpare() {
        let list: [HTTP2Stream] = exchange(&spare, with: [])
        for stream in list { stream.retire() }
    }

    /// Where a number stands, or would stand.
    private static func place(of number: StreamID, in list: [(number: StreamID, stream: HTTP2Stream)]) -> Int {
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

private let spareMax = 32
