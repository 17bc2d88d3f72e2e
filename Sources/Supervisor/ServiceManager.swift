import Time
import CLinux
import System

/// Tells systemd how the service is (sd_notify(3)); does nothing where there is no systemd.
struct ServiceManager {
    private let address: String?

    init(environment: [String: String]) { address = environment["NOTIFY_SOCKET"] }

    func ready() { send("READY=1\nSTATUS=Taking connections") }

    /// - Parameters:
    ///   - what: the reload or the upgrade, with the reason.
    ///   - count: of those that were refused since the start.
    func refused(_ what: String, count: Int) {
        send("READY=1\nSTATUS=Taking connections; \(what); refused so far: \(count)")
    }

    /// The moment lets systemd tell this reload from an earlier one.
    func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(Clock.now().nanoseconds / 1_000)\nSTATUS=Reloading") }

    func stopping() { send("STOPPING=1\nSTATUS=Finishing requests in flight") }

    /// Another process is the service from now on.
    func handedOver(to process: Int32) { send("MAINPID=\(process)\nREADY=1\nSTATUS=Taking connections") }

    private func send(_ text: String) {
        guard let address, address.utf8.count < 108, address.hasPrefix("/") || address.hasPrefix("@") else { return }
        let socket = CLinux.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        var form = sockaddr_un()
        form.sun_family = sa_family_t(AF_UNIX)
        // SAFETY: the path was checked to be shorter than the field; an abstract name starts with a zero.
        unsafe withUnsafeMutableBytes(of: &form.sun_path) { field in
            for (index, byte) in address.utf8.enumerated() { unsafe field[index] = index == 0 && byte == 0x40 ? 0 : byte }
        }
        let size = UInt32(MemoryLayout<sa_family_t>.size + address.utf8.count)
        let bytes = Array(text.utf8)
        // SAFETY: both buffers live for the call.
        unsafe withUnsafeBytes(of: form) { form in
            unsafe bytes.withUnsafeBytes { bytes in
                unsafe _ = pc_sendto(socket, bytes.baseAddress, bytes.count, form.baseAddress, size)
            }
        }
    }
}
