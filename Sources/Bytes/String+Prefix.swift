extension String {
    /// The beginning of the text, of no more than so many bytes.
    package func prefix(utf8 most: Int) -> String { utf8.count <= most ? self : String(decoding: utf8.prefix(most), as: UTF8.self) }
}
