import Bytes
import Authentication
import ConfigFile
import EventLoop
import Routing

extension Limit {
    /// Appends the key of a request: the limit's name and rate, then each part with its length, so that no two lists of parts
    /// render alike. An IPv6 address counts as its network of 64 bits, all of which one subscriber has.
    ///
    /// Requests for which a variable has no value share one key.
    func renderKey(_ identity: Identity?, in context: RequestContext, into output: inout [UInt8]) {
        output.append(name)
        // A limit whose rate is changed starts anew; its old times mean something else.
        output.append(0x2F)
        output.append(decimal: quota.cost)
        output.append(0x2F)
        output.append(decimal: quota.burst)
        for template in key {
            output.append(0x3A)
            let start = output.count
            for part in template.parts {
                switch part {
                case .text(let text): output.append(text)
                case .variable(.claim(let name)):
                    for (index, text) in (identity?.verified.claims.texts(name) ?? []).enumerated() {
                        if index > 0 { output.append(0x2C) }
                        output.append(text)
                    }
                case .variable(.clientIP):
                    let text = String(decoding: context.clientIP, as: UTF8.self)
                    if context.clientIP.contains(0x3A), let address = IPAddress(text), !address.isV4 {
                        output.append(decimal: address.high)
                    } else {
                        output.append(contentsOf: context.clientIP)
                    }
                case .variable(let variable): output.append(contentsOf: context.value(of: variable) ?? [])
                }
            }
            let length = output.count - start
            output.append(0x23)
            output.append(decimal: length)
        }
    }
}
