import Authentication
import Bytes
import CLinux
import HTTPMessage
package import System
import TLS

/// Asks the system's resolver for the addresses of a name; blocks, so it runs on a thread of its own.
package struct NameLookup: Sendable {
    let host: String

    package init(host: String) { self.host = host }

    package func run() -> [IPAddress] {
        if let address = IPAddress(host) { return [address] }
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // SAFETY: the strings and hints live for the call; the list is freed below.
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [IPAddress] = []
        var entry = unsafe list
        while let present = unsafe entry, addresses.count < 32 {
            var name = [CChar](repeating: 0, count: 64)
            // SAFETY: the entry's address has the length that it says; the buffer takes every numeric form.
            let result = unsafe getnameinfo(
                present.pointee.ai_addr, present.pointee.ai_addrlen, &name, socklen_t(name.count), nil, 0, Int32(NI_NUMERICHOST))
            if result == 0, let address = IPAddress(String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)),
                !addresses.contains(address)
            {
                addresses.append(address)
            }
            unsafe entry = unsafe present.pointee.ai_next
        }
        return addresses
    }
}
