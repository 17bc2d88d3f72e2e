import Bytes
import HTTPMessage

extension RequestHead {
    /// The first protocol of Upgrade that is among `names`, where Connection says that it is meant. Source: RFC 9110 §7.8.
    func upgrade(among names: [String]) -> [UInt8]? {
        guard version == .http11, method == .get, fields.list(.connection, contains: "upgrade", in: bytes) else { return nil }
        for line in fields.lines where line.id == .upgrade {
            var elements = ListElements(range: line.value.range)
            while let element = elements.next(in: bytes) {
                let offered = bytes.extracting(element)
                for name in names where offered.equalsIgnoringCase(name) { return offered.copied() }
            }
        }
        return nil
    }
}
