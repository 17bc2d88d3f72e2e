/// An external authorizer of the configuration, by its place among them.
package struct AuthorizerID: Hashable, Sendable {
    package let index: Int

    package init(_ index: Int) { self.index = index }
}
