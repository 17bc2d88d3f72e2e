/// The place of a route among those of the file, from 0.
package struct RouteID: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) { self.index = index }
}
