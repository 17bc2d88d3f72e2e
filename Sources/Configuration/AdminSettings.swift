package import ConfigFile
package import System

/// `admin unix:PATH [mode MODE] [group NAME];` or `admin off;`: where operators look into the gateway and tell it what to do.
package struct AdminSettings: Equatable, Sendable {
    package let path: String
    /// Of the socket: who may connect.
    package let mode: UInt32
    /// Of the socket; nil for that of the supervisor.
    package let group: String?
    /// Whether the file says nothing of it: then a gateway that finds no room for it goes without.
    package let isDefault: Bool

    package static let standard = AdminSettings(path: "/run/portcullis/admin.sock", mode: 0o660, group: nil, isDefault: true)

    private init(path: String, mode: UInt32, group: String?, isDefault: Bool) {
        self.path = path
        self.mode = mode
        self.group = group
        self.isDefault = isDefault
    }

    package var address: SocketAddress { .unix(path) }
    package var folder: String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }

    /// Nil for `off`, and where a part of it is wrong.
    package init?(_ directive: Directive, _ diagnostics: Diagnostics) {
        let words = directive.words("unix:PATH [mode MODE] [group NAME] or off", diagnostics)
        guard let first = words.first, !(first.text == "off" && words.count == 1) else { return nil }
        guard case .unix(let path) = SocketAddress(first.text) else {
            diagnostics.error(
                "'\(first.text)' is not a Unix socket", at: first,
                hint: "write admin unix:/run/portcullis/admin.sock; or admin off; the socket's rights say who may use it")
            return nil
        }
        var mode: UInt32 = 0o660
        var group: String?
        var rest = words.dropFirst()
        while let name = rest.popFirst() {
            let value = rest.popFirst()
            switch (name.text, value) {
            case ("mode", let value?):
                guard let given = UInt32(value.text, radix: 8), given <= 0o777, given & 0o600 == 0o600 else {
                    diagnostics.error("'\(value.text)' is not a mode for a socket", at: value, hint: "write an octal number such as 0660")
                    return nil
                }
                mode = given
            case ("group", let value?): group = value.text
            default:
                diagnostics.error("'\(name.text)' cannot stand here", at: name, hint: "after the path come mode MODE and group NAME")
                return nil
            }
        }
        self.init(path: path, mode: mode, group: group, isDefault: false)
    }
}
