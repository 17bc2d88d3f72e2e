import CLinux

/// Who is at the other end of a Unix socket, by the kernel's word (unix(7), SO_PEERCRED).
package struct PeerCredentials: Sendable, Equatable {
    package let process: Int32
    package let user: UInt32
    /// The primary group and the others.
    package let groups: [UInt32]

    package init?(of socket: Int32) {
        var (process, user, group): (Int32, UInt32, UInt32) = (0, 0, 0)
        var others = [UInt32](repeating: 0, count: 64)
        // SAFETY: the numbers and the array live for the call, which writes no more than the array's count.
        let count = unsafe pc_peer_credentials(socket, &process, &user, &group, &others, UInt32(others.count))
        guard count >= 0 else { return nil }
        self.process = process
        self.user = user
        groups = [group] + others.prefix(Int(count))
    }
}
