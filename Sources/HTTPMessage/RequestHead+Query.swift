import Bytes

extension RequestHead {
    /// Whether a parameter of this name is there, whatever its values.
    package func hasParameter(named name: String, in query: ByteRange) -> Bool {
        var parameters = QueryParameters(target: query.range, in: bytes)
        while let parameter = parameters.next(in: bytes) { if parameter.isNamed(name, in: bytes) { return true } }
        return false
    }

    /// The value of a parameter of the query, decoded; nil too when several of its name have different values, because a service might take
    /// another one of them.
    ///
    /// - Parameter query: where the query stands, with its `?`.
    package func parameter(named name: String, in query: ByteRange) -> [UInt8]? {
        var parameters = QueryParameters(target: query.range, in: bytes)
        var found: [UInt8]?
        while let parameter = parameters.next(in: bytes) {
            guard parameter.isNamed(name, in: bytes) else { continue }
            let value = bytes.extracting(parameter.value).percentDecoded(plusIsSpace: true)
            if let found, found != value { return nil }
            found = value
        }
        return found
    }
}
