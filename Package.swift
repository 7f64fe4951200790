// swift-tools-version: 6.3
import PackageDescription

let language: [SwiftSetting] = [
    .enableUpcomingFeature("InternalImportsByDefault"),  // a module's interface shows only what it means to show
    .enableUpcomingFeature("MemberImportVisibility"),  // a file sees only what it imports itself
    .enableUpcomingFeature("ExistentialAny"),  // `any` marks the places that cost a dynamic call
]
// Tests that do no heavy arithmetic of their own: unoptimised they compile in half the time and run as fast.
let quick = language + [.unsafeFlags(["-Onone"])]
let hostileBytes = language + [.strictMemorySafety()]  // modules that read files and requests from strangers

let package = Package(
    name: "lmx",
    products: [.executable(name: "lmx", targets: ["lmx"])],
    dependencies: [
        // The command line: subcommands, help and completion scripts that we need not write.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // The HTTP server: structured concurrency, back-pressure on streams.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        // (Downloads from a model hub run curl, a process for each request: an HTTP client with TLS of its own would double the
        // time of a clean build for what is off unless configured, and would take strangers' bytes apart inside the server.)
        // Channel types for the one folder that talks to sockets (inbound close, limits, WebSocket frames).
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        // Logging interface of the server-side ecosystem.
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        // Start and stop in order, signals included.
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Formats: bytes in files → what a model is.
        .systemLibrary(name: "CJSON", path: "Sources/Formats/CJSON", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
        .target(name: "Weights", dependencies: ["CJSON"], path: "Sources/Formats/Weights", swiftSettings: hostileBytes),
        .target(name: "Formats", dependencies: ["Weights"], path: "Sources/Formats/Adapters", swiftSettings: hostileBytes),

        // Runtime: tokens in, tokens out.
        .systemLibrary(name: "CBLAS", path: "Sources/Runtime/CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .target(
            name: "CKernels", path: "Sources/Runtime/CKernels",
            // -O3 in every configuration: an unoptimised kernel is of no use even while debugging.
            // -ffp-contract=off: a multiply-add is fused only where the code says so, so that all instruction sets agree.
            cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off"])]),
        .target(name: "Compute", dependencies: ["CKernels", "CBLAS", "Weights"], path: "Sources/Runtime/Core", swiftSettings: language),
        .target(name: "Text", dependencies: ["Weights"], path: "Sources/Runtime/Text", swiftSettings: hostileBytes),
        .target(
            name: "Engine",
            dependencies: ["Compute", "Text", "Weights"],
            path: "Sources/Runtime/Engine", swiftSettings: language),

        // API: the HTTP contract.
        .target(
            name: "API",
            dependencies: [
                "Engine", "Text", "Weights",
                .product(name: "Hummingbird", package: "hummingbird"), .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Sources/API",
            resources: [.embedInCode("Dashboard")],  // the dashboard's files become bytes of the binary
            swiftSettings: language),

        .executableTarget(
            name: "lmx",
            dependencies: [
                "Weights", "Formats", "CKernels", "Compute", "Text", "Engine", "API",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "tools/lmx", swiftSettings: language),

        // Loads, unloads, evictions and answers at random: `make races` builds it with the thread sanitizer.
        .executableTarget(name: "races", dependencies: ["Weights", "Formats", "Compute", "Text", "Engine"], path: "tools/races", swiftSettings: language),

        // Tests use public and package interfaces only, so that one release build serves `make run` and `make test`.
        .target(name: "TestSupport", dependencies: ["Weights"], path: "Tests/Support", swiftSettings: language),
        .testTarget(name: "WeightsTests", dependencies: ["Weights", "TestSupport"], path: "Tests/WeightsTests", swiftSettings: language),
        .testTarget(name: "FormatsTests", dependencies: ["Formats", "Weights", "TestSupport"], path: "Tests/FormatsTests", swiftSettings: quick),
        .testTarget(name: "KernelTests", dependencies: ["CKernels", "TestSupport"], path: "Tests/KernelTests", swiftSettings: language),
        .testTarget(name: "ComputeTests", dependencies: ["Compute", "CKernels", "Formats", "Weights", "TestSupport"], path: "Tests/ComputeTests", swiftSettings: language),
        .testTarget(name: "TextTests", dependencies: ["Text", "Formats", "Weights", "TestSupport"], path: "Tests/TextTests", swiftSettings: quick),
        .testTarget(name: "EngineTests", dependencies: ["Engine", "Compute", "Text", "Formats", "Weights", "TestSupport"], path: "Tests/EngineTests", swiftSettings: quick),
        .testTarget(
            name: "APITests",
            dependencies: [
                "API", "Engine", "Text", "Weights", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            path: "Tests/APITests", swiftSettings: quick),
        .testTarget(name: "EndToEndTests", dependencies: ["TestSupport", "Weights"], path: "Tests/EndToEndTests", swiftSettings: quick),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)
