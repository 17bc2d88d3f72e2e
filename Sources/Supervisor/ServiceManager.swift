import Time
import CLinux
import System

/// Tells systemd how the service is (sd_notify(3)); does nothing where there is no systemd.
///
/// It listens to one process, the main one: another that speaks is written about in the journal. So a program that takes over is silent until
/// the one before has said who is the service now, and that one is silent from then on.
struct ServiceManager {
    private let address: String?
    /// Whether this process may speak.
    var isMain: Bool
    /// How often it wants a sign of life; nil where it wants none.
    let watchdogInterval: Nanoseconds?

    init(environment: [String: String], isMain: Bool) {
        address = environment["NOTIFY_SOCKET"]
        self.isMain = isMain
        // The process that is named may be one that this program has taken over from.
        let isMeant = !isMain || environment["WATCHDOG_PID"].map { $0 == String(getpid()) } ?? true
        watchdogInterval = isMeant ? environment["WATCHDOG_USEC"].flatMap { UInt64($0) }.map { .microseconds($0) / 2 } : nil
    }

    func alive() { send("WATCHDOG=1") }

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
    mutating func handedOver(to process: Int32) {
        send("MAINPID=\(process)\nREADY=1\nSTATUS=Taking connections")
        isMain = false
    }

    private func send(_ text: String) {
        guard isMain, let address, address.utf8.count < 108, address.hasPrefix("/") || address.hasPrefix("@") else { return }
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
