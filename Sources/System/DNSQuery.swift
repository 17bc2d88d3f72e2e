import Bytes
import CLinux

/// One question to the DNS, through the C library's resolver; blocks, for threads.
///
/// Sources: RFC 1035, RFC 2782 (SRV), resolver(3).
package struct DNSQuery: Sendable {
    package enum Kind: Int32, Sendable {
        case a = 1
        case aaaa = 28
        case srv = 33
    }

    package struct Record: Equatable, Sendable {
        package enum Content: Equatable, Sendable {
            case address(IPAddress)
            /// `target` is empty for a service that decidedly is not there.
            case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)
        }

        /// In lower case, without the dot at its end.
        package let name: String
        /// Seconds for which it may be kept.
        package let seconds: UInt32
        package let content: Content
    }

    package struct Answer: Sendable {
        package var records: [Record] = []
        /// What the server adds of its own accord, such as the addresses of a service's targets.
        package var additional: [Record] = []
    }

    package struct Failure: Error, Equatable, Sendable {
        package let reason: String
    }

    private let name: String
    private let kind: Kind
    private let resolvers: [SocketAddress]

    /// How many servers the C library asks at most.
    package static let resolversMax = 3

    /// - Parameter resolvers: the servers that are asked, IP addresses with ports; empty for those of the system.
    package init(_ name: String, _ kind: Kind, at resolvers: [SocketAddress] = []) {
        self.name = name
        self.kind = kind
        self.resolvers = resolvers
    }

    package func run() throws(Failure) -> Answer {
        // SAFETY: an empty state, which `pc_resolver_open` writes first.
        var state = unsafe pc_resolver_state()
        // SAFETY: the state lives until it is closed.
        guard unsafe pc_resolver_open(&state) == 0 else { throw Failure(reason: "the system's resolver cannot be used") }
        defer { unsafe pc_resolver_close(&state) }
        if !resolvers.isEmpty {
            unsafe pc_resolver_forget_servers(&state)
            for resolver in resolvers.prefix(Self.resolversMax) {
                // SAFETY: the address lives for the call, which copies it.
                _ = unsafe resolver.withSystemForm { unsafe pc_resolver_add_server(&state, $0, $1) }
            }
        }
        unsafe pc_resolver_use_edns(&state)
        // One repetition, so that what does not answer is not waited for long.
        unsafe state.retrans = 2
        unsafe state.retry = 2
        var bytes = [UInt8](repeating: 0, count: 65_536)
        // SAFETY: the name ends with a zero, and the answer has as many bytes as is said.
        let count = unsafe pc_resolver_query(&state, name, kind.rawValue, &bytes, Int32(bytes.count))
        guard count > 0 else {
            switch unsafe pc_resolver_error(&state) {
            case HOST_NOT_FOUND: throw Failure(reason: "there is no such name")
            case NO_DATA: throw Failure(reason: "it has no such records")
            default: throw Failure(reason: "no resolver gives an answer")
            }
        }
        guard let answer = Self.read(Array(bytes[..<min(Int(count), bytes.count)])) else {
            throw Failure(reason: "the resolver's answer is malformed")
        }
        return answer
    }

    /// Reads a DNS message; nil for one that is malformed.
    package static func read(_ message: [UInt8]) -> Answer? {
        // SAFETY: the library reads within the message only, which is lent for as long as the handle is used.
        unsafe message.withUnsafeBufferPointer { bytes -> Answer? in
            var handle = unsafe ns_msg()
            guard let start = bytes.baseAddress, unsafe ns_initparse(start, Int32(clamping: bytes.count), &handle) == 0 else { return nil }
            var answer = Answer()
            for (section, isAdditional) in [(pc_dns_answer, false), (pc_dns_additional, true)] {
                let count = unsafe pc_dns_count(&handle, section)
                for index in 0..<max(0, min(count, recordsMax)) {
                    var record = unsafe ns_rr()
                    guard unsafe ns_parserr(&handle, ns_sect(UInt32(section)), index, &record) == 0 else { return nil }
                    guard let read = unsafe Self.record(record, bytes) else { continue }
                    if isAdditional { answer.additional.append(read) } else { answer.records.append(read) }
                }
            }
            return answer
        }
    }

    /// Nil for a record of another kind, or one that is wrong in itself.
    private static func record(_ record: ns_rr, _ message: UnsafeBufferPointer<UInt8>) -> Record? {
        guard unsafe record.rr_class == 1, let data = unsafe record.rdata else { return nil }
        // SAFETY: the library has checked that the data lies within the message.
        let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: Int(record.rdlength)))
        let content: Record.Content
        switch (Kind(rawValue: Int32(unsafe record.type)), bytes.count) {
        case (.a, 4): content = .address(IPAddress(v4: UInt32(bytes.prefix(4).reduce(0) { $0 << 8 | UInt64($1) })))
        case (.aaaa, 16):
            let words = [bytes[..<8], bytes[8...]].map { $0.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
            content = .address(IPAddress(high: words[0], low: words[1]))
        case (.srv, 7...):
            var target = [CChar](repeating: 0, count: Int(pc_dns_name_max))
            // SAFETY: the name begins within the message, whose end is told, and the target has as many bytes as is said.
            let length = unsafe ns_name_uncompress(
                message.baseAddress!, message.baseAddress! + message.count, data + 6, &target, target.count)
            guard length > 0, let name = hostName(target) else { return nil }
            let numbers = stride(from: 0, to: 6, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
            content = .service(priority: numbers[0], weight: numbers[1], port: numbers[2], target: name)
        default: return nil
        }
        // SAFETY: the library ends the name with a zero.
        let owner = unsafe withUnsafeBytes(of: record.name) { unsafe Array($0.bindMemory(to: CChar.self)) }
        guard let name = hostName(owner) else { return nil }
        return Record(name: name, seconds: unsafe record.ttl, content: content)
    }

    /// Letters, digits, dots, `-` and `_`: what is to stand in a field, a log and a certificate's check has nothing else.
    private static func hostName(_ text: [CChar]) -> String? {
        var bytes = text.prefix { $0 != 0 }.map { ASCII.lowercased(UInt8(bitPattern: $0)) }
        while bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
        let isGood = bytes.allSatisfy { ASCII.isUnreserved($0) && $0 != UInt8(ascii: "~") }
        return isGood && bytes.count <= 253 ? String(decoding: bytes, as: UTF8.self) : nil
    }
}

private let recordsMax: Int32 = 1_000
