import ArgumentParser
import Authentication
import Bytes
import System

struct JWS: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jws", abstract: "The signature layer alone.", subcommands: [Verify.self])

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a compact JWS from standard input and say whether its signature is valid.",
            discussion: "Prints 'valid' or 'invalid: REASON' and exits with 0 or 1. The payload may be anything.")

        @Option(help: "A file with a JWKS or one JWK.") var keys: String
        @Option(help: "The algorithms to accept, separated by commas or spaces; all asymmetric ones by default.")
        var algorithms: String?

        func run() throws {
            let document: [UInt8]
            do {
                document = try LocalFiles.read(keys)
            } catch {
                complain("portcullis: \(keys): \(error.reason)")
                throw ExitCode(2)
            }
            let allowed = try (algorithms.map { $0.split(whereSeparator: { ", ".contains($0) }).map(String.init) })?.map { name in
                guard let algorithm = Algorithm(name) else { throw ValidationError("'\(name)' is not an algorithm that can be used") }
                return algorithm
            }
            let token = try StandardInput.token()
            if let reason = JWSVerdict.reason(
                token, keys: document, allowed: allowed ?? Algorithm.allCases.filter { $0.keyType != .secret })
            {
                print("invalid: \(reason)")
                throw ExitCode(1)
            }
            print("valid")
        }
    }
}

enum JWSVerdict {
    /// Why a token is not valid; nil when it is.
    static func reason(_ token: [UInt8], keys document: [UInt8], allowed: [Algorithm]) -> String? {
        do {
            let keys = try KeySet(document)
            let jws = try CompactJWS(token.span)
            guard allowed.contains(jws.algorithm) else { throw CredentialError.algorithmNotAllowed }
            try keys.verify(jws, token.span)
            return nil
        } catch let error as CredentialError {
            return error.explanation
        } catch let error as KeySetError {
            return "the keys cannot be used: \(error.explanation)"
        } catch {
            return "\(error)"
        }
    }
}
