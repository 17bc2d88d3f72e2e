import Bytes

/// What a client of gRPC is told besides its status: the message `google.rpc.Status` with a `google.rpc.RetryInfo` (googleapis, google/rpc/status.proto and
/// error_details.proto), of which clients know when they may come again. In base64, as the value of a field whose name ends in `-bin`.
enum GRPCStatusDetails {
    static func retry(after seconds: UInt64, status: Int, message: String) -> [UInt8] {
        // RetryInfo { Duration retry_delay = 1 }, Duration { int64 seconds = 1 }.
        let delay = number(1, seconds)
        let info = bytes(1, delay)
        // Any { string type_url = 1; bytes value = 2 }.
        let any = bytes(1, [UInt8]("type.googleapis.com/google.rpc.RetryInfo".utf8)) + bytes(2, info)
        // Status { int32 code = 1; string message = 2; repeated Any details = 3 }.
        return Base64.encode(number(1, UInt64(max(0, status))) + bytes(2, [UInt8](message.utf8)) + bytes(3, any))
    }

    private static func number(_ field: UInt8, _ value: UInt64) -> [UInt8] { [field << 3] + varint(value) }

    private static func bytes(_ field: UInt8, _ value: [UInt8]) -> [UInt8] { [field << 3 | 2] + varint(UInt64(value.count)) + value }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (left, output): (UInt64, [UInt8]) = (value, [])
        while left >= 0x80 {
            output.append(UInt8(truncatingIfNeeded: left) | 0x80)
            left >>= 7
        }
        return output + [UInt8(left)]
    }
}
