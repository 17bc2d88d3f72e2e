/// What is decided by who imports.
package struct ImportOptions: Sendable {
    /// HOST:PORT of a file server that is put behind, for locations with `root` and `alias`.
    package var fileServer: String?

    /// Whether expressions that do nothing but deny, and have no routes, are left to the services behind.
    package var dropsDenials = false

    package init(fileServer: String? = nil, dropsDenials: Bool = false) {
        self.fileServer = fileServer
        self.dropsDenials = dropsDenials
    }
}
