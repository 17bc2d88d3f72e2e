import CLinux
package import System

/// What a process of the gateway may do.
package enum ProcessRights {
    package static var isRoot: Bool { geteuid() == 0 }

    /// Becomes `user` for good: its identifier, its groups, no way back. Does nothing unless the process is root.
    ///
    /// - Throws: when there is no such user, or the system refuses.
    package static func drop(to user: String?) throws(SystemError) {
        // No program that is started from here gains rights.
        _ = pc_prctl(PR_SET_NO_NEW_PRIVS, 1)
        guard isRoot else { return }
        let name = user ?? "nobody"
        // SAFETY: the entry is the C library's own; what is needed of it is copied at once.
        guard let entry = unsafe getpwnam(name) else { throw SystemError("getpwnam(\(name))", code: ENOENT) }
        let (userID, groupID) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
        if userID == 0 { return }
        // SAFETY: the string is lent as a terminated one for the call.
        guard unsafe initgroups(name, groupID) == 0 else { throw SystemError("initgroups") }
        guard setgid(groupID) == 0 else { throw SystemError("setgid") }
        guard setuid(userID) == 0 else { throw SystemError("setuid") }
        precondition(setuid(0) != 0, "root's rights were not given up")
    }

    /// Keeps the memory, and the environment and the descriptors that /proc shows, from other processes of the same user; there are
    /// keys in it. Root still sees all.
    package static func hideMemory() { _ = pc_prctl(PR_SET_DUMPABLE, 0) }

    /// Whether there is a user of this name.
    package static func exists(user: String) -> Bool {
        // SAFETY: the string is lent as a terminated one for the call.
        unsafe getpwnam(user) != nil
    }

    /// As many descriptors as the system lets this process have.
    package static func raiseDescriptorLimit() { pc_raise_descriptor_limit() }

    /// A peer that is gone must not end the process; the supervisor alone heeds the terminal's signals.
    package static func ignoreSignals(_ signals: [Int32]) {
        for number in signals { pc_ignore_signal(number) }
    }
}
