/// Where a certificate and its key come from.
package struct CertificateFiles: Hashable, Sendable {
    package let chain: String
    package let key: String

    package init(chain: String, key: String) {
        self.chain = chain
        self.key = key
    }
}
