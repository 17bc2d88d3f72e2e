import Bytes
import COpenSSL

/// The keys of session tickets (RFC 8446 §4.6.1, RFC 5077), which all workers of the host share.
///
/// The first key makes tickets; the others only read what they once made. The supervisor makes a new first key every few
/// hours and tells the workers.
package final class TicketKeys {
    /// Name (16 bytes), cipher key (32), MAC key (32), for each key.
    package static let keyBytes = 80
    package static let keysMax = 3

    private var keys: [[UInt8]] = []

    package init() {}

    /// Replaces the keys: a multiple of ``keyBytes``, newest first. Anything else is ignored.
    package func replace(with bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count % Self.keyBytes == 0, bytes.count <= Self.keyBytes * Self.keysMax else { return }
        keys = stride(from: 0, to: bytes.count, by: Self.keyBytes).map { Array(bytes[$0..<$0 + Self.keyBytes]) }
    }

    /// Makes `context` use these keys; they must outlive it.
    func install(in context: OpaquePointer) {
        // SAFETY: ex_data 0 is the application's; the owner of the context keeps this object alive as long.
        unsafe SSL_CTX_set_ex_data(context, 0, Unmanaged.passUnretained(self).toOpaque())
        unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticketCallback)
    }

    /// What OpenSSL asks for each ticket it makes or reads: 1 go on, 2 go on and renew, 0 no such key, -1 failure.
    ///
    /// - Parameter renews: whether a ticket is for one use, so that every resumption needs a new one (RFC 8446 §C.4). Without it
    ///   a client of TLS 1.3 could resume every second time only.
    fileprivate func prepare(
        name: UnsafeMutablePointer<UInt8>, vector: UnsafeMutablePointer<UInt8>, cipher: OpaquePointer?, mac: OpaquePointer?, making: Bool,
        renews: Bool
    ) -> Int32 {
        if making {
            guard let key = keys.first, unsafe RAND_bytes(vector, 16) == 1 else { return keys.isEmpty ? 0 : -1 }
            for index in 0..<16 { unsafe name[index] = key[index] }
            return unsafe set(key, cipher, mac, vector, making: true) ? 1 : -1
        }
        for (age, key) in keys.enumerated() {
            var same = true
            for index in 0..<16 where unsafe name[index] != key[index] { same = false }
            if same { return unsafe set(key, cipher, mac, vector, making: false) ? (age == 0 && !renews ? 1 : 2) : -1 }
        }
        return 0
    }

    private func set(
        _ key: [UInt8], _ cipher: OpaquePointer?, _ mac: OpaquePointer?, _ vector: UnsafeMutablePointer<UInt8>, making: Bool
    ) -> Bool {
        // SAFETY: the array is lent for the calls, which copy what they keep; the contexts are OpenSSL's own.
        return unsafe key.withUnsafeBufferPointer { bytes in
            guard let start = bytes.baseAddress, unsafe pc_mac_set_key(mac, start + 48, 32) == 1 else { return false }
            return making
                ? unsafe EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, start + 16, vector) == 1
                : unsafe EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, start + 16, vector) == 1
        }
    }
}

private let ticketCallback:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, OpaquePointer?, OpaquePointer?, Int32
    ) -> Int32 = { session, name, vector, cipher, mac, making in
        // SAFETY: OpenSSL passes a live session and buffers of 16 bytes; ex_data 0 was set by `install`.
        guard let name = unsafe name, let vector = unsafe vector, let context = unsafe SSL_get_SSL_CTX(session),
            let keys = unsafe SSL_CTX_get_ex_data(context, 0)
        else { return -1 }
        return unsafe Unmanaged<TicketKeys>.fromOpaque(keys).takeUnretainedValue()
            .prepare(
                name: name, vector: vector, cipher: cipher, mac: mac, making: making == 1, renews: SSL_version(session) >= TLS1_3_VERSION)
    }
