import Bytes
import HTTPMessage
import Testing

@Suite struct FieldTableTests {
    @Test func knowsWhichNamesAreThere() {
        // A bit for each.
        #expect(FieldName.allCases.count <= 64)
        for name in FieldName.allCases {
            var table = FieldTable()
            table.append(FieldTable.Line(id: name, name: ByteRange(), value: ByteRange(start: 3, count: 4)))
            for other in FieldName.allCases {
                #expect(table.has(other) == (other == name))
                #expect((table.first(other) != nil) == (other == name))
                #expect(table.count(of: other) == (other == name ? 1 : 0))
            }
            table.removeAll()
            #expect(!table.has(name) && table.first(name) == nil)
        }
    }

    @Test func everyNameIsKnownInAnyCase() {
        for name in FieldName.allCases where name != .other {
            let (lower, upper) = ([UInt8](name.text.utf8), [UInt8](name.text.uppercased().utf8))
            #expect(FieldName(lower.span) == name)
            #expect(FieldName(upper.span) == name)
            for index in lower.indices {
                // One bit beside a letter stands what is none.
                var changed = lower
                changed[index] ^= 0x40
                #expect(FieldName(changed.span) == .other, "\(name.text) with another byte at \(index)")
            }
        }
    }
}
