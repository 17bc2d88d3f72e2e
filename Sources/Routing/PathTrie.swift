import Bytes
package import HTTPMessage

/// Finds the most specific pattern for a path, at a cost that depends on the path's segments and not on the number of
/// patterns.
///
/// Nodes are indices into flat arrays; the literal edges of all nodes share one hash table, so a look-up touches no
/// reference count and allocates nothing.
package struct PathTrie {
    private static let none: Int32 = -1

    /// By node: the child for any one segment, the value at the end, the value for any rest.
    private var oneChild: [Int32] = [none]
    private var exactValue: [Int32] = [none]
    private var tailValue: [Int32] = [none]
    /// Open addressing; a power of two, at most half full.
    private var edges = [Edge](repeating: Edge(), count: 16)
    private var edgeCount = 0
    private var labels: [UInt8] = []

    private struct Edge {
        var node: Int32 = PathTrie.none
        var hash: UInt32 = 0
        var label = 0..<0
        var child: Int32 = PathTrie.none
    }

    package init() {}

    /// Adds a pattern; the value that an earlier pattern of the same shape has, else nil.
    package mutating func insert(_ pattern: PathPattern, value: Int) -> Int? {
        var node: Int32 = 0
        for segment in pattern.segments {
            switch segment {
            case .literal(let text): node = literalChild(of: node, [UInt8](text))
            case .one:
                if oneChild[Int(node)] == Self.none { oneChild[Int(node)] = addNode() }
                node = oneChild[Int(node)]
            }
        }
        let present = pattern.hasTail ? tailValue[Int(node)] : exactValue[Int(node)]
        guard present == Self.none else { return Int(present) }
        if pattern.hasTail { tailValue[Int(node)] = Int32(value) } else { exactValue[Int(node)] = Int32(value) }
        return nil
    }

    /// The value of the most specific pattern: segment by segment a literal, then one segment, then any rest.
    package func find(_ target: borrowing RequestTarget) -> Int? {
        let found = walk(0, 0, target)
        return found == Self.none ? nil : Int(found)
    }

    private func walk(_ node: Int32, _ index: Int, _ target: borrowing RequestTarget) -> Int32 {
        guard index < target.segments.count else {
            let exact = exactValue[Int(node)]
            return exact != Self.none ? exact : tailValue[Int(node)]
        }
        let child = literalChild(of: node, target.pathSpan.extracting(target.segments[index].range))
        if child != Self.none {
            let found = walk(child, index + 1, target)
            if found != Self.none { return found }
        }
        // A server that takes two slashes for one sees no segment between them.
        if oneChild[Int(node)] != Self.none, !target.segments[index].isEmpty {
            let found = walk(oneChild[Int(node)], index + 1, target)
            if found != Self.none { return found }
        }
        return tailValue[Int(node)]
    }

    private func literalChild(of node: Int32, _ label: Span<UInt8>) -> Int32 {
        let hash = Self.hash(node, label)
        var slot = Int(hash) & (edges.count - 1)
        while edges[slot].node != Self.none {
            let edge = edges[slot]
            if edge.node == node, edge.hash == hash, labels.span.extracting(edge.label).equals(label) { return edge.child }
            slot = (slot + 1) & (edges.count - 1)
        }
        return Self.none
    }

    private mutating func literalChild(of node: Int32, _ label: [UInt8]) -> Int32 {
        let present = literalChild(of: node, label.span)
        if present != Self.none { return present }
        if (edgeCount + 1) * 2 > edges.count { growEdges() }
        let start = labels.count
        labels.append(contentsOf: label)
        let edge = Edge(node: node, hash: Self.hash(node, label.span), label: start..<labels.count, child: addNode())
        place(edge)
        edgeCount += 1
        return edge.child
    }

    private mutating func addNode() -> Int32 {
        oneChild.append(Self.none)
        exactValue.append(Self.none)
        tailValue.append(Self.none)
        return Int32(oneChild.count - 1)
    }

    private mutating func growEdges() {
        let old = edges
        edges = [Edge](repeating: Edge(), count: old.count * 2)
        for edge in old where edge.node != Self.none { place(edge) }
    }

    private mutating func place(_ edge: Edge) {
        var slot = Int(edge.hash) & (edges.count - 1)
        while edges[slot].node != Self.none { slot = (slot + 1) & (edges.count - 1) }
        edges[slot] = edge
    }

    /// FNV-1a over the node and the label. The labels are the operator's, so nobody can make them collide.
    private static func hash(_ node: Int32, _ label: Span<UInt8>) -> UInt32 {
        var hash: UInt32 = 2_166_136_261 ^ UInt32(bitPattern: node) &* 0x9E37_79B9
        for index in label.indices { hash = (hash ^ UInt32(label[index])) &* 16_777_619 }
        return hash ^ hash >> 15
    }
}
