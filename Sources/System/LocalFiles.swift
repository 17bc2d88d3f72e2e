import CLinux

/// The file system, for start-up and the control process; never on the path of a request.
package enum LocalFiles {
    /// The whole content of a file of at most `bytesMax` bytes.
    ///
    /// - Parameter bufferBytes: what is read at once.
    package static func read(_ path: String, bytesMax: Int = 64 << 20, bufferBytes: Int = 65_536) throws(SystemError) -> [UInt8] {
        // SAFETY: the string is lent as a terminated one for the call.
        let raw = unsafe pc_open(path, O_RDONLY | O_CLOEXEC, 0)
        guard raw >= 0 else { throw SystemError("open") }
        let descriptor = Descriptor(owning: raw)
        return try readAll(descriptor, bytesMax: bytesMax, bufferBytes: bufferBytes)
    }

    /// Everything from the start of a file to its end.
    package static func readAll(
        _ descriptor: borrowing Descriptor, bytesMax: Int = 64 << 20, bufferBytes: Int = 65_536
    ) throws(SystemError) -> [UInt8] {
        var content: [UInt8] = []
        // The file may hold a key, of which nothing is to stay behind where the content grew out of its storage, or was copied from.
        var status = stat()
        // SAFETY: `status` lives for the call.
        if unsafe fstat(descriptor.raw, &status) == 0 { content.reserveCapacity(min(Int(clamping: status.st_size), bytesMax)) }
        var buffer = [UInt8](repeating: 0, count: bufferBytes)
        defer { Secrets.wipe(buffer) }
        while true {
            // SAFETY: the buffer is valid for its size during the call.
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe CLinux.read(descriptor.raw, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("read") }
            if count == 0 { return content }
            content.append(contentsOf: buffer[..<count])
            guard content.count <= bytesMax else { throw SystemError("read", code: EFBIG) }
        }
    }

    /// The names in a folder, without `.` and `..`, sorted.
    package static func names(in folder: String) throws(SystemError) -> [String] {
        // SAFETY: the stream is closed below; entries are copied before the next is read.
        guard let stream = unsafe opendir(folder) else { throw SystemError("opendir") }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Who owns a file; nil where there is none.
    package static func owner(of path: String) -> (user: UInt32, group: UInt32)? {
        var status = stat()
        // SAFETY: as for ``isFolder(_:)``.
        return unsafe stat(path, &status) == 0 ? (status.st_uid, status.st_gid) : nil
    }

    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        // SAFETY: the path is lent as a terminated string, `status` lives for the call.
        return unsafe stat(path, &status) == 0 && status.st_mode & UInt32(S_IFMT) == UInt32(S_IFDIR)
    }

    /// What changes when a file is replaced or written: device, inode, size and modification time.
    package static func signature(of path: String) -> [Int64]? {
        var status = stat()
        // SAFETY: the string is lent as a terminated one, and `status` lives for the call.
        guard unsafe stat(path, &status) == 0 else { return nil }
        return [
            Int64(truncatingIfNeeded: status.st_dev), Int64(truncatingIfNeeded: status.st_ino), Int64(status.st_size),
            Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec),
        ]
    }

    /// Where a symbolic link leads.
    package static func target(ofLink path: String) throws(SystemError) -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        // SAFETY: the string is lent as a terminated one; the buffer is valid for its size during the call.
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe readlink(path, $0.bindMemory(to: CChar.self).baseAddress!, $0.count) }
        guard count > 0 else { throw SystemError("readlink") }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Opens a log for appending. A named pipe without a reader is an error, not a wait.
    ///
    /// Root follows a symbolic link only where nobody else could have put it: in a folder that is root's, and that no other may
    /// write to. Elsewhere a link is refused, with ELOOP.
    package static func openLog(_ path: String) throws(SystemError) -> Descriptor {
        let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK
        guard geteuid() == 0 else {
            // SAFETY: the string is lent as a terminated one for the call.
            let raw = unsafe pc_open(path, flags, 0o640)
            guard raw >= 0 else { throw SystemError("open") }
            return Descriptor(owning: raw)
        }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        // SAFETY: the strings are lent as terminated ones for the calls, and `status` lives for its own.
        let opened = unsafe pc_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard opened >= 0 else { throw SystemError("open") }
        let parent = Descriptor(owning: opened)
        var status = stat()
        guard unsafe fstat(parent.raw, &status) == 0 else { throw SystemError("fstat") }
        let isRootsAlone = status.st_uid == 0 && status.st_mode & 0o022 == 0
        let raw = unsafe pc_openat(parent.raw, name, isRootsAlone ? flags : flags | O_NOFOLLOW, 0o640)
        guard raw >= 0 else { throw SystemError("open") }
        return Descriptor(owning: raw)
    }

    /// Writes a file, in place of what it held.
    package static func write(_ content: [UInt8], to path: String) throws(SystemError) {
        // SAFETY: the string is lent as a terminated one for the call.
        let raw = unsafe pc_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard raw >= 0 else { throw SystemError("open") }
        let file = Descriptor(owning: raw)
        try write(content, to: file)
    }

    /// A nameless file in memory with this content.
    package static func memoryFile(_ content: [UInt8]) throws(SystemError) -> Descriptor {
        // SAFETY: the literal is terminated.
        let raw = unsafe pc_memfd_create("portcullis-bundle")
        guard raw >= 0 else { throw SystemError("memfd_create") }
        let file = Descriptor(owning: raw)
        try write(content, to: file)
        return file
    }

    private static func write(_ content: [UInt8], to file: borrowing Descriptor) throws(SystemError) {
        var written = 0
        while written < content.count {
            // SAFETY: the range lies in the array, which is lent for the call.
            let count = unsafe content.withUnsafeBytes {
                unsafe CLinux.write(file.raw, $0.baseAddress! + written, $0.count - written)
            }
            guard count > 0 else { throw SystemError("write") }
            written += count
        }
    }
}
