import Bytes

extension RequestHead {
    /// The value of a parameter of the query, decoded; nil too when several of its name have different values, because a service might take
    /// another one of them.
    ///
    /// - Parameter query: where the query stands, with its `?`.
    package func parameter(named name: String, in query: ByteRange) -> [UInt8]? {
        guard !query.isEmpty else { return nil }
        let bytes = bytes.extracting(query.range)
        var found: [UInt8]?
        var start = 1
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "&") { end += 1 }
            var equals = start
            while equals < end, bytes[equals] != UInt8(ascii: "=") { equals += 1 }
            if bytes.extracting(start..<equals).percentDecoded(plusIsSpace: true).elementsEqual(name.utf8) {
                let value = bytes.extracting(min(equals + 1, end)..<end).percentDecoded(plusIsSpace: true)
                if let found, found != value { return nil }
                found = value
            }
            start = end + 1
        }
        return found
    }
}
