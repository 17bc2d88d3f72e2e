import CLinux

/// The reason of the last failed system call of this thread.
package var errno: Int32 { pc_errno() }

/// An open file descriptor with one owner, closed when the owner lets go.
package struct Descriptor: ~Copyable, Sendable {
    package let raw: Int32

    /// Takes over `raw`, which nobody else may close.
    package init(owning raw: Int32) {
        precondition(raw >= 0, "not a descriptor")
        self.raw = raw
    }

    /// Hands the descriptor to somebody who will close it.
    package consuming func release() -> Int32 {
        let released = raw
        discard self
        return released
    }

    deinit { close(raw) }

    /// A second descriptor of the same open file, at a number not below `minimum`.
    package func duplicate(atLeast minimum: Int32 = 3) throws(SystemError) -> Descriptor {
        let copy = pc_fcntl(raw, F_DUPFD_CLOEXEC, minimum)
        guard copy >= 0 else { throw SystemError("fcntl") }
        return Descriptor(owning: copy)
    }
}
