import Bytes
package import HTTPMessage
package import Observability

extension RequestHead {
    /// To which trace the request itself says that it belongs; nil where it says nothing, nothing that is valid, or two things.
    package var toldTrace: TraceContext? {
        let name = "traceparent".utf8
        var found: TraceContext?
        for line in fields.lines where bytes.extracting(line.name.range).equalsIgnoringCase(name.span) {
            guard found == nil, let trace = TraceContext(traceparent: bytes.extracting(line.value.range)) else { return nil }
            found = trace
        }
        return found
    }
}
