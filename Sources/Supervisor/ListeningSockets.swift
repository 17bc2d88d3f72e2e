import CLinux
import Configuration
import Processes
import System

/// The listening sockets of the gateway, by address: opened once and kept over reloads and the deaths of workers, so that a
/// connection that waits in one is never lost.
struct ListeningSockets {
    private var byAddress: [SocketAddress: [Int32]] = [:]

    /// At least `count` sockets for each address; new ones are opened where they are missing.
    mutating func open(_ addresses: [SocketAddress], count: Int) throws(ListenError) {
        for address in addresses where isNew(address) {
            // Two programs that both let others listen where they do would share the connections, and nobody would be told.
            do {
                _ = try Socket.bind(to: address, isShared: false)
            } catch {
                throw ListenError(address: address, error: error, program: error.code == EADDRINUSE ? Listener.program(at: address) : nil)
            }
        }
        for address in addresses {
            // A path can be bound once; its workers share the socket.
            let wanted = if case .unix = address { 1 } else { count }
            while byAddress[address, default: []].count < wanted {
                do {
                    if case .unix(let path) = address { Self.removeStaleSocket(path) }
                    // Above the numbers that children get theirs at.
                    let socket = try Socket.bind(to: address).duplicate(atLeast: descriptorsFrom)
                    byAddress[address, default: []].append(socket.release())
                } catch {
                    throw ListenError(address: address, error: error, program: nil)
                }
            }
        }
    }

    /// Opens the socket of operators, with the rights that the file gives it; of one that is open they are set again.
    mutating func open(_ admin: AdminSettings) throws(ListenError) {
        if byAddress[admin.address] == nil {
            // Nobody connects before the rights are set.
            let before = umask(0o177)
            defer { umask(before) }
            try open([admin.address], count: 1)
        }
        // SAFETY: the path is lent as a terminated string for the calls, none of which follows a link that somebody has put there.
        if let group = admin.group {
            guard let entry = unsafe getgrnam(group) else { return restrict(admin, "there is no group '\(group)' on this host") }
            guard unsafe lchown(admin.path, uid_t.max, entry.pointee.gr_gid) == 0 else {
                return restrict(admin, SystemError("chown").reason)
            }
        }
        if unsafe fchmodat(AT_FDCWD, admin.path, admin.mode, AT_SYMLINK_NOFOLLOW) != 0 { restrict(admin, SystemError("chmod").reason) }
    }

    /// Why a socket has not the rights that the file gives it; then it has fewer.
    private(set) var restrictions: [String] = []
    private mutating func restrict(_ admin: AdminSettings, _ reason: String) {
        restrictions.append("the rights of \(admin.path) are not as the file has them: \(reason)")
    }

    mutating func takeRestrictions() -> [String] { exchange(&restrictions, with: []) }

    /// Whether no socket of ours is bound to this port, at this address or one that overlaps with it.
    private func isNew(_ address: SocketAddress) -> Bool {
        guard case .ip(_, let port) = address else { return false }
        return !byAddress.keys.contains { if case .ip(_, port) = $0 { true } else { false } }
    }

    /// Goes back to what was open at an earlier moment: a socket that nobody accepts on would still be given connections.
    mutating func restore(_ earlier: ListeningSockets) {
        for (address, sockets) in byAddress {
            let kept = earlier.sockets(of: address)
            for socket in sockets where !kept.contains(socket) { close(socket) }
            byAddress[address] = kept.isEmpty ? nil : kept
        }
    }

    /// A socket that an earlier run has left behind; nothing else is removed.
    private static func removeStaleSocket(_ path: String) {
        var status = stat()
        // SAFETY: the path is lent as a terminated string, `status` lives for the call.
        guard unsafe lstat(path, &status) == 0, status.st_mode & UInt32(S_IFMT) == UInt32(S_IFSOCK) else { return }
        // One that responses belongs to a program that runs; binding to it then fails and says so.
        guard (try? Socket.connect(to: .unix(path))) == nil else { return }
        unsafe _ = unlink(path)
    }

    /// Takes over a socket that another program has opened.
    mutating func adopt(_ socket: consuming Descriptor, of address: SocketAddress) {
        byAddress[address, default: []].append(socket.release())
    }

    /// Every socket, with its address.
    var all: [(address: SocketAddress, descriptor: Int32)] {
        byAddress.flatMap { address, sockets in sockets.map { (address, $0) } }
    }

    func sockets(of address: SocketAddress) -> [Int32] { byAddress[address] ?? [] }

    /// Closes the sockets of addresses that are listened on no longer.
    mutating func keepOnly(_ addresses: [SocketAddress]) {
        for (address, sockets) in byAddress where !addresses.contains(address) {
            for socket in sockets { close(socket) }
            byAddress[address] = nil
        }
    }

    mutating func closeAll() { keepOnly([]) }
}

struct ListenError: Error {
    let address: SocketAddress
    let error: SystemError
    /// Who listens there already, as far as the system tells.
    let program: String?

    var explanation: String {
        let hint =
            switch error.code {
            case EADDRINUSE: "; \(program ?? "another program") listens there"
            case EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
            case EADDRNOTAVAIL: "; this host has no such address"
            default: ""
            }
        return "cannot listen at \(address.text): \(error.reason)\(hint)"
    }
}

/// Descriptors that children inherit are kept at numbers from here on.
let descriptorsFrom: Int32 = 1_024

/// Who listens at an address, by what /proc tells; root sees all programs, others their own.
private enum Listener {
    static func program(at address: SocketAddress) -> String? {
        guard case .ip(_, let port) = address else { return nil }
        let sockets = inodes(listeningAt: port)
        guard !sockets.isEmpty, let processes = try? LocalFiles.names(in: "/proc") else { return nil }
        for process in processes where process.allSatisfy(\.isNumber) {
            guard let descriptors = try? LocalFiles.names(in: "/proc/\(process)/fd") else { continue }
            for descriptor in descriptors {
                guard let target = try? LocalFiles.target(ofLink: "/proc/\(process)/fd/\(descriptor)"), sockets.contains(target) else {
                    continue
                }
                let name = (try? LocalFiles.read("/proc/\(process)/comm")).map { String(decoding: $0.dropLast(), as: UTF8.self) }
                return "\(name ?? "a program") (process \(process))"
            }
        }
        return nil
    }

    /// Links to the sockets that listen at a port. A line of the table has the local address in its second column, the state in
    /// its fourth (0A: listening) and the inode in its tenth.
    private static func inodes(listeningAt port: UInt16) -> Set<String> {
        var found: Set<String> = []
        let digits = String(port, radix: 16, uppercase: true)
        let ending = ":" + String(repeating: "0", count: 4 - digits.count) + digits
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let bytes = try? LocalFiles.read(table) else { continue }
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n").dropFirst() {
                let columns = line.split(separator: " ")
                if columns.count > 9, columns[1].hasSuffix(ending), columns[3] == "0A" { found.insert("socket:[\(columns[9])]") }
            }
        }
        return found
    }
}
