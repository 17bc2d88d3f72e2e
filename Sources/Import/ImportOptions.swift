/// What is decided by who imports.
package struct ImportOptions: Sendable {
    /// HOST:PORT of a file server that is put behind, for locations with `root` and `alias`.
    package var fileServer: String?

    package init(fileServer: String? = nil) { self.fileServer = fileServer }
}
