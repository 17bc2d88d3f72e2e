package import CLinux
package import EventLoop

/// Starts processes of our own program.
package enum Child {
    /// Starts `arguments` of this executable. The descriptors of `passed` stand at 3, 4, 5 … in the child; it has no others but
    /// standard input, output and error.
    package static func start(_ arguments: [String], passing passed: [Int32]) throws(SystemError) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // SAFETY: both are initialised here and destroyed below; all strings live for the call.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        for (index, descriptor) in passed.enumerated() {
            precondition(descriptor >= 3 + Int32(passed.count), "a descriptor that would be overwritten on its way")
            unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(3 + index))
        }
        // The supervisor blocks signals to read them one by one; its children start with none blocked and none ignored.
        var none = sigset_t()
        var all = sigset_t()
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe (["portcullis"] + arguments).map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        var process: pid_t = 0
        // /proc/self/exe is the program that runs, even where its file has been replaced meanwhile.
        let result = unsafe posix_spawn(&process, "/proc/self/exe", &actions, &attributes, pointers, pc_environment())
        guard result == 0 else { throw SystemError("posix_spawn", code: result) }
        return process
    }
}
