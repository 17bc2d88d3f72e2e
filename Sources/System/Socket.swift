import CLinux

/// Sockets, all of them non-blocking and closed on exec.
package enum Socket {
    /// A socket of a group that shares its address (SO_REUSEPORT): one for each worker. The system gives it connections from
    /// ``startListening(_:)`` on, which is the worker's to call.
    /// - Parameter isShared: whether other sockets of ours may listen there too.
    package static func bind(to address: SocketAddress, isShared: Bool = true) throws(SystemError) -> Descriptor {
        let socket = try open(address.family)
        try set(socket, SOL_SOCKET, SO_REUSEADDR, 1)
        if isShared, case .ip = address { try set(socket, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.family == AF_INET6 { try set(socket, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        // SAFETY: the address form lives for the call.
        guard unsafe address.withSystemForm({ unsafe pc_bind(socket.raw, $0, $1) }) == 0 else { throw SystemError("bind") }
        return socket
    }

    /// Lets connections come. On a socket that listens already it changes nothing.
    package static func startListening(_ socket: Int32, backlog: Int32 = 4_096) throws(SystemError) {
        guard CLinux.listen(socket, backlog) == 0 else { throw SystemError("listen") }
    }

    /// Starts to connect; the socket is writable when that has succeeded or failed (``pendingError(_:)``).
    ///
    /// - Parameter keepsAlive: whether the system asks for a sign of life where nothing has been said for 15 s, so that a network on the way does not
    ///   forget the connection, and one whose other end is gone breaks within half a minute.
    package static func connect(to address: SocketAddress, keepsAlive: Bool = false) throws(SystemError) -> Descriptor {
        let socket = try open(address.family)
        if case .ip = address {
            try set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            if keepsAlive {
                try set(socket, SOL_SOCKET, SO_KEEPALIVE, 1)
                for (option, value) in [(TCP_KEEPIDLE, Int32(15)), (TCP_KEEPINTVL, 5), (TCP_KEEPCNT, 3)] {
                    try set(socket, Int32(IPPROTO_TCP), option, value)
                }
            }
        }
        // SAFETY: the address form lives for the call.
        let result = unsafe address.withSystemForm { unsafe pc_connect(socket.raw, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else { throw SystemError("connect") }
        return socket
    }

    package enum Accepted: ~Copyable {
        case connection(Descriptor, from: IPAddress?)
        case none
        /// The process or the host is out of descriptors or memory; accepting must pause.
        case exhausted
    }

    package static func accept(_ listener: Int32) -> Accepted {
        var from = sockaddr_storage()
        var size = UInt32(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: the structure is large enough for every family, and `size` says how large.
        let raw = unsafe pc_accept(listener, &from, &size, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        guard raw >= 0 else {
            switch errno {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
            default: return .none
            }
        }
        let descriptor = Descriptor(owning: raw)
        let address = peer(from)
        if address != nil { try? set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        return .connection(descriptor, from: address)
    }

    /// Both ends of a connection; nil for one that is not of the Internet.
    package static func ends(of descriptor: Int32) -> ProxyProtocol.Addresses? {
        var (from, to) = (sockaddr_storage(), sockaddr_storage())
        var (fromSize, toSize) = (UInt32(MemoryLayout<sockaddr_storage>.size), UInt32(MemoryLayout<sockaddr_storage>.size))
        // SAFETY: the structures are large enough for every family, and the sizes say how large.
        guard unsafe pc_getpeername(descriptor, &from, &fromSize) == 0, unsafe pc_getsockname(descriptor, &to, &toSize) == 0,
            let source = peer(from), let destination = peer(to)
        else { return nil }
        return ProxyProtocol.Addresses(source: source, sourcePort: port(from), destination: destination, destinationPort: port(to))
    }

    /// The port of an Internet address: both families hold it in the two bytes after the family.
    private static func port(_ address: sockaddr_storage) -> UInt16 {
        // SAFETY: the structure is larger than four bytes.
        unsafe withUnsafeBytes(of: address) { unsafe UInt16($0[2]) << 8 | UInt16($0[3]) }
    }

    /// Bytes that the system holds because the peer has not acknowledged them.
    package static func unsentBytes(_ descriptor: Int32) -> Int { Int(pc_unsent_bytes(descriptor)) }

    package static func pendingError(_ descriptor: Int32) -> Int32 {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        // SAFETY: `code` is of the size given.
        return unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno
    }

    /// The port that the system chose for a socket bound to port 0.
    package static func localPort(_ descriptor: Int32) -> UInt16? {
        var address = sockaddr_storage()
        var size = UInt32(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: the structure is large enough for every family, and `size` says how large.
        guard unsafe pc_getsockname(descriptor, &address, &size) == 0 else { return nil }
        return port(address)
    }

    /// A pair of connected sockets that keep message boundaries.
    package static func pair() throws(SystemError) -> (Int32, Int32) {
        var ends: (Int32, Int32) = (-1, -1)
        let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        // SAFETY: a pair of Int32 has the layout of the array of two that the call fills.
        let result = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe socketpair(AF_UNIX, kind, 0, $0.bindMemory(to: Int32.self).baseAddress!)
        }
        guard result == 0 else { throw SystemError("socketpair") }
        return ends
    }

    /// Makes the coming close a reset.
    package static func resetOnClose(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        // SAFETY: `option` is of the size given.
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    package static func endWriting(_ descriptor: Int32) { _ = shutdown(descriptor, Int32(SHUT_WR)) }

    private static func open(_ family: Int32) throws(SystemError) -> Descriptor {
        let raw = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError("socket") }
        return Descriptor(owning: raw)
    }

    private static func set(_ socket: borrowing Descriptor, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
        var value = value
        // SAFETY: `value` is of the size given.
        guard unsafe setsockopt(socket.raw, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw SystemError("setsockopt")
        }
    }

    private static func peer(_ storage: sockaddr_storage) -> IPAddress? {
        // SAFETY: the family says which structure the storage holds; both are smaller than it.
        unsafe withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET: IPAddress(v4: UInt32(bigEndian: unsafe bytes.load(as: sockaddr_in.self).sin_addr.s_addr))
            case AF_INET6: IPAddress(unsafe bytes.load(as: sockaddr_in6.self).sin6_addr)
            default: nil
            }
        }
    }
}
