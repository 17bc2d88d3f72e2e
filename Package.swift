// swift-tools-version: 6.2
// Portcullis: targets stand in the order of a request's path; each may depend on those above it, never on those below.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    // Small functions are inlined into other targets too: 2 to 5 % of a request (docs/performance.md). All checks stay on.
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

func part(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(name: name + "Tests", dependencies: [.target(name: name)] + dependencies, path: "Tests/\(name)Tests", swiftSettings: strict)
}

let package = Package(
    name: "portcullis",
    products: [
        .executable(name: "portcullis", targets: ["portcullis"]),
        // For a test, which puts it before the program.
        .library(name: "AllocationCounter", type: .dynamic, targets: ["AllocationCounter"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CNghttp2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CCompression", providers: [.apt(["zlib1g-dev", "libbrotli-dev", "libzstd-dev"])]),

        part("Bytes"),
        part("Time"),
        part("HTTPMessage", ["Bytes"]),
        part("ConfigFile", ["Bytes"]),
        part("System", ["CLinux", "Bytes", "Time"]),
        part("TLS", ["COpenSSL", "Bytes", "ConfigFile", "System"]),
        part("Observability", ["Bytes", "ConfigFile", "Time", "System"]),
        part("UpstreamHealth", ["Bytes", "ConfigFile", "System", "Time"]),
        part("Connection", ["Bytes", "Time", "System", "TLS"]),
        part("HTTP1", ["Bytes", "HTTPMessage"]),
        part("HTTP2", ["CNghttp2", "Bytes", "HTTPMessage"]),
        part("Compression", ["CCompression", "Bytes"]),
        part("Routing", ["Bytes", "HTTPMessage", "ConfigFile"]),
        part("Authentication", ["COpenSSL", "Bytes", "Time", "HTTPMessage", "ConfigFile", "System", "Routing"]),
        part("Authorization", ["Bytes", "ConfigFile", "Routing", "Authentication"]),
        part(
            "RateLimiting",
            ["Observability", "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "Routing", "Authentication", "Authorization"]),
        part(
            "Redis",
            ["Authentication", "Observability", "Connection", "CHiredis", "Bytes", "ConfigFile", "Time", "System", "TLS", "RateLimiting"]),
        part(
            "Forwarding",
            [
                "UpstreamHealth", "Observability", "Connection", "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "TLS", "HTTP1",
                "HTTP2", "Routing",
                "Authentication",
                "RateLimiting",
            ]),
        part("Processes", ["UpstreamHealth", "CLinux", "Bytes", "ConfigFile", "Time", "System", "RateLimiting", "Observability"]),
        part(
            "Configuration",
            [
                "UpstreamHealth", "Connection", "HTTP1", "Compression", "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "TLS",
                "Routing",
                "Authentication",
                "Authorization",
                "RateLimiting", "Redis", "Forwarding", "Observability",
            ]),
        part(
            "Policy",
            [
                "Redis",
                "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "TLS", "HTTP1", "Routing", "Authentication", "Authorization",
                "RateLimiting",
                "Forwarding", "Configuration",
            ]),
        part("Import", ["HTTPMessage", "ConfigFile", "System", "Routing", "Configuration", "Policy"]),
        part(
            "Gateway",
            [
                "Connection",
                "Bytes", "HTTPMessage", "Time", "System", "TLS", "HTTP1", "HTTP2", "Routing", "Authentication",
                "Authorization", "RateLimiting", "Redis", "Forwarding", "Observability", "Processes", "Configuration", "Compression",
                "Policy",
            ]),
        part(
            "Administration",
            ["Bytes", "HTTPMessage", "Time", "System", "Connection", "HTTP1"]),
        part(
            "Control",
            [
                "Administration", "UpstreamHealth", "CLinux", "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "TLS", "HTTP1",
                "HTTP2",
                "Authentication",
                "RateLimiting", "Observability", "Processes", "Configuration",
            ]),
        part(
            "Supervisor",
            [
                "Bytes", "CLinux", "ConfigFile", "Time", "System", "TLS", "Observability",
                "Processes", "Configuration",
            ]),
        .executableTarget(
            name: "portcullis",
            dependencies: [
                "CLinux", "COpenSSL", "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "TLS", "HTTP1", "Routing", "Authentication",
                "Administration", "Authorization", "Observability", "RateLimiting", "Redis", "Forwarding", "Gateway", "Control",
                "Supervisor",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"), "Processes", "Configuration", "Import", "Policy",
            ], swiftSettings: strict,
            // What the loader has found for a call is not to be changed afterwards.
            linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]),

        .target(
            name: "TestSupport", dependencies: ["COpenSSL", "Bytes", "HTTPMessage", "HTTP1", "ConfigFile", "Policy"],
            path: "Tests/TestSupport",
            swiftSettings: strict),
        .target(name: "TestSockets", path: "Tests/TestSockets"),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        tests("Bytes"),
        tests("HTTPMessage", ["Bytes"]),
        tests("ConfigFile", ["TestSupport"]),
        .testTarget(
            name: "SystemUnitTests", dependencies: ["Time", "System", "Bytes"], path: "Tests/SystemUnitTests", swiftSettings: strict),
        tests("TLS", ["Bytes", "System"]),
        tests("HTTP1", ["Bytes", "HTTPMessage", "TestSupport"]),
        tests("HTTP2", ["Bytes", "HTTPMessage"]),
        tests("Compression", ["Bytes"]),
        tests("Routing", ["Bytes", "HTTP1", "HTTPMessage", "ConfigFile", "TestSupport"]),
        tests("Authentication", ["Bytes", "HTTPMessage", "HTTP1", "ConfigFile", "TestSupport"]),
        tests("Authorization", ["Authentication", "TestSupport"]),
        tests("UpstreamHealth", ["Bytes", "ConfigFile", "System", "Time", "TestSupport"]),
        tests("RateLimiting", ["HTTPMessage", "Authorization", "Bytes", "ConfigFile", "Routing", "Time", "System", "TestSupport"]),
        tests("Redis", ["Bytes", "ConfigFile", "Time", "System", "TLS", "RateLimiting", "TestSockets", "TestSupport"]),
        tests(
            "Forwarding",
            [
                "Observability", "Bytes", "HTTPMessage", "HTTP1", "HTTP2", "ConfigFile", "Time", "System", "Routing", "Authentication",
                "RateLimiting",
                "TestSupport",
                "TestSockets",
            ]),
        tests("Observability", ["Bytes", "Time", "System"]),
        tests(
            "Control",
            [
                "Observability", "UpstreamHealth", "Authentication", "Bytes", "ConfigFile", "Configuration", "Processes", "System",
                "TestSockets", "TestSupport", "Time",
            ]),
        tests("Configuration", ["Processes", "ConfigFile", "TestSupport", "Authentication", "Routing"]),
        .testTarget(
            name: "ImportTests",
            dependencies: ["Import", "ConfigFile", "Configuration", "HTTPMessage", "Policy", "Routing", "TestSupport"],
            path: "Tests/ImportTests",
            exclude: ["Inputs"], swiftSettings: strict),
        tests(
            "Policy",
            [
                "Forwarding", "System", "Configuration", "ConfigFile", "TestSupport", "Authentication", "Authorization", "Bytes", "HTTP1",
                "HTTPMessage", "Routing",
            ]),
        tests(
            "Gateway",
            [
                "TestSockets", "Connection",
                "TestSupport", "Bytes", "ConfigFile", "Configuration", "Policy", "Processes", "Observability", "Authentication",
                "RateLimiting",
                "Forwarding", "HTTP1", "HTTP2", "HTTPMessage", "Routing", "Time", "System",
            ]),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Compression", "Observability", "Bytes", "HTTPMessage", "HTTP1", "HTTP2", "ConfigFile", "System", "Forwarding",
                "Authentication", "Redis", "Configuration",
                "Processes", "Import", "TestSupport",
            ],
            path: "Tests/FuzzTargets", swiftSettings: strict),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"], path: "Tests/FuzzTests", exclude: ["Inputs"]),
        .testTarget(name: "TidyTests", path: "Tests/TidyTests"),
        .testTarget(
            name: "SystemTests",
            dependencies: [
                "TestSupport", "TestSockets", "Bytes", "ConfigFile", "Time", "System", "Processes", "Configuration", "Policy", "Gateway",
            ],
            path: "Tests/SystemTests", exclude: ["Peers"]),
    ]
)

// The fuzzer brings its own main, so it is built only by Tests/Fuzz/run.
if Context.environment["PORTCULLIS_FUZZ"] != nil {
    package.products.append(.executable(name: "Fuzz", targets: ["Fuzz"]))
    package.targets.append(
        .executableTarget(
            name: "Fuzz", dependencies: ["CLinux", "FuzzTargets"], path: "Tests/Fuzz", exclude: ["run", "findings"],
            swiftSettings: [.unsafeFlags(["-parse-as-library"])]))
}

// Run by hand, by Benchmarks/run; its library is fetched for nobody else.
if Context.environment["PORTCULLIS_BENCHMARKS"] != nil {
    package.dependencies.append(.package(url: "https://github.com/google/swift-benchmark", from: "0.1.2"))
    package.products.append(.executable(name: "Micro", targets: ["Micro"]))
    package.targets.append(
        .executableTarget(
            name: "Micro",
            dependencies: [
                "Bytes", "HTTPMessage", "ConfigFile", "Time", "System", "HTTP1", "Routing", "Authentication", "Authorization",
                "RateLimiting",
                "Forwarding", "Configuration", "Policy", "TestSupport", .product(name: "Benchmark", package: "swift-benchmark"),
            ], path: "Benchmarks/Micro"))
}
