import Forwarding
import HTTPMessage
import Routing

/// Passages that serve no request at present. A connection has one while a request of it is under way, so that those that are idle
/// cost little, and those that are busy find one that was used a moment ago.
final class Passages {
    private let path: RequestPath
    private var spare: [Passage] = []

    init(_ path: RequestPath) { self.path = path }

    func take(for origin: DownstreamOrigin, isHTTP2: Bool) -> Passage {
        // Taken out while it is changed, as below (decision 011).
        var list: [Passage] = exchange(&spare, with: [])
        let passage = list.popLast() ?? Passage(path, from: origin)
        swap(&list, &spare)
        passage.serve(origin, isHTTP2: isHTTP2)
        return passage
    }

    /// Takes back a passage whose request is over.
    func give(_ passage: Passage) {
        precondition(passage.state == .idle, "a passage given back with its request")
        // What one large head needed is not kept for ever.
        if passage.headCapacity > headBytesKept {
            passage.context.releaseHead()
            passage.headCapacity = 0
        }
        guard spare.count < spareMax else { return }
        var list: [Passage] = exchange(&spare, with: [])
        list.append(passage)
        swap(&list, &spare)
    }
}

private let spareMax = 1_024
/// Twice what a head with a token of common size takes: in HTTP/2 storage grows by doubling.
private let headBytesKept = 16_384
