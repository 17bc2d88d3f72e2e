import Testing

/// Each folder of `examples/` starts, and every request that it sends comes out as it says.
@Suite(.serialized) struct ExampleRunTests {
    @Test(arguments: ["jwt-cookie", "redis-limits", "grpc", "websocket", "authelia", "oauth2-proxy", "jwt-service"])
    func comesOutAsItShould(
        example: String
    ) throws {
        let output = try run(
            "\(Executable.root)/examples/\(example)/try", [],
            environment: ["PORTCULLIS": Executable.portcullis, "PYTHON": "\(Executable.root)/.build/python/bin/python"])
        #expect(output.status == 0, "\(output.text)\(output.errors)")
        #expect(output.text.hasSuffix("every request came out as it should\n") && !output.text.contains("WRONG"), "\(output.text)")
        #expect(output.text.split(separator: "\n").count { $0.hasSuffix("  ok") } >= 4)
    }
}
