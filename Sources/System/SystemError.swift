import CLinux

/// The system's reason why a call failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(_ call: String, code: Int32 = errno) {
        self.call = call
        self.code = code
    }

    package var description: String { "\(call): \(reason)" }

    package var reason: String { SystemError.text(code) }

    package static func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        // SAFETY: the string lives in `buffer` or for ever; it is copied at once.
        return unsafe buffer.withUnsafeMutableBufferPointer { unsafe String(cString: pc_error_text(code, $0.baseAddress!, $0.count)) }
    }
}
