import System

/// Which server of a cluster has which keys: a key's slot is the CRC16 of its name, and each slot is one server's (Redis Cluster specification).
struct ClusterSlots: Equatable {
    static let count = 16_384

    /// A server that has slots.
    struct Node: Hashable {
        let address: SocketAddress
        /// What its certificate may say; empty where the cluster names addresses alone.
        let hostname: String
    }

    private(set) var nodes: [Node] = []
    /// By slot, the place in ``nodes``; `UInt16.max` where nobody has it.
    private var owners: [UInt16]

    init() { owners = [UInt16](repeating: .max, count: Self.count) }

    /// Reads the reply to `CLUSTER SLOTS`; nil where it has another shape.
    ///
    /// - Parameter asked: who has replied; a server that does not know its own address leaves it out.
    init?(_ reply: RedisReply, from asked: SocketAddress) {
        guard case .array(let ranges) = reply else { return nil }
        self.init()
        var indices: [Node: UInt16] = [:]
        for range in ranges {
            guard case .array(let parts) = range, parts.count >= 3, case .integer(let first) = parts[0], case .integer(let last) = parts[1],
                0 <= first, first <= last, last < Self.count, let node = Self.node(parts[2], asked)
            else { return nil }
            let index = indices[node] ?? UInt16(nodes.count)
            if indices[node] == nil {
                guard nodes.count < nodesMax else { return nil }
                indices[node] = index
                nodes.append(node)
            }
            for slot in Int(first)...Int(last) { owners[slot] = index }
        }
    }

    /// The first of a range's servers is its master: an address or a name, the port, an identifier and, since Redis 7, pairs of what else is known.
    private static func node(_ reply: RedisReply, _ asked: SocketAddress) -> Node? {
        guard case .array(let parts) = reply, parts.count >= 2, case .integer(let number) = parts[1], let port = UInt16(exactly: number)
        else {
            return nil
        }
        // Nothing means the address that was asked; `?` that nobody has told the server its name.
        let endpoint = text(parts[0])
        if endpoint == nil || endpoint == "" {
            guard case .ip(let address, _) = asked else { return nil }
            return Node(address: .ip(address, port: port), hostname: "")
        }
        if let endpoint, let address = IPAddress(endpoint) {
            var hostname = ""
            if parts.count > 3, case .array(let more) = parts[3] { hostname = value(of: "hostname", in: more) ?? "" }
            return Node(address: .ip(address, port: port), hostname: hostname)
        }
        if parts.count > 3, case .array(let more) = parts[3], let address = value(of: "ip", in: more).flatMap({ IPAddress($0) }) {
            return Node(address: .ip(address, port: port), hostname: endpoint == "?" ? "" : endpoint ?? "")
        }
        return nil
    }

    private static func value(of name: String, in pairs: [RedisReply]) -> String? {
        for index in stride(from: 0, to: pairs.count - 1, by: 2) where text(pairs[index]) == name { return text(pairs[index + 1]) }
        return nil
    }

    private static func text(_ reply: RedisReply) -> String? {
        if case .string(let bytes) = reply { String(decoding: bytes, as: UTF8.self) } else { nil }
    }

    /// How many slots somebody has.
    var covered: Int { owners.count { $0 != .max } }

    /// Who has a slot; nil where nobody does.
    subscript(slot: Int) -> Node? {
        let index = owners[slot]
        return index == .max ? nil : nodes[Int(index)]
    }

    /// Whether a server has any.
    func hasSlots(_ node: Node) -> Bool { nodes.firstIndex(of: node).map { owners.contains(UInt16($0)) } ?? false }

    /// A server says that another one has a slot.
    mutating func move(_ slot: Int, to node: Node) {
        var index = nodes.firstIndex(of: node)
        if index == nil, nodes.count < nodesMax {
            index = nodes.count
            nodes.append(node)
        }
        if let index { owners[slot] = UInt16(index) }
    }

    /// The slot of a key. What stands between the first `{` and the `}` behind it decides alone, where that is anything.
    static func slot(of name: [UInt8]) -> Int {
        Int(crc16(KeyNames.placing(name))) % count
    }

    /// CRC-16/XMODEM: polynomial 0x1021, nothing reflected, from 0.
    private static func crc16(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        var crc: UInt16 = 0
        for byte in bytes { crc = crc << 8 ^ remainders[Int(crc >> 8) ^ Int(byte)] }
        return crc
    }

    private static let remainders: [UInt16] = (0..<256).map { byte in
        (0..<8).reduce(UInt16(byte) << 8) { crc, _ in crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
}

/// More servers than any cluster has that works.
private let nodesMax = 1_000
