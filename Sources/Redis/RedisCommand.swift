package import Bytes
import CHiredis

package enum RedisCommand {
    /// Appends a command in the protocol's form.
    package static func append(_ arguments: [[UInt8]], to output: inout ByteQueue) {
        var formatted: UnsafeMutablePointer<CChar>?
        // SAFETY: hiredis copies the arguments; the pointers into `joined` are valid while it is lent.
        let lengths = arguments.map { $0.count }
        var joined: [UInt8] = []
        joined.reserveCapacity(lengths.reduce(0, +))
        for argument in arguments { joined += argument }
        let count = unsafe joined.withUnsafeBytes { bytes in
            var start = 0
            var pointers: [UnsafePointer<CChar>?] = unsafe []
            unsafe pointers.reserveCapacity(lengths.count)
            for length in lengths {
                // An empty argument still needs an address.
                unsafe pointers.append(bytes.baseAddress.map { unsafe ($0 + start).assumingMemoryBound(to: CChar.self) })
                start += length
            }
            return unsafe redisFormatCommandArgv(&formatted, Int32(arguments.count), &pointers, lengths)
        }
        guard count > 0, let formatted = unsafe formatted else { return }
        unsafe output.append(Span(_unsafeStart: UnsafeRawPointer(formatted).assumingMemoryBound(to: UInt8.self), count: Int(count)))
        unsafe redisFreeCommand(formatted)
    }
}
