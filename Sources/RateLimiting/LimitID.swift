/// A limit of the configuration, by its place among them.
package struct LimitID: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) { self.index = index }
}
