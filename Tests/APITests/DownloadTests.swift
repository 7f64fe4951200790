import API
import Engine
import Foundation
import TestSupport
import Testing
import Weights

/// What fetches for the server.
private enum Curl {
    static let isThere: Bool = {
        let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":")
        let isThere = paths.contains { FileManager.default.isExecutableFile(atPath: $0 + "/curl") }
        if !isThere { print("curl: not present, downloads are not tested") }
        return isThere
    }()
}

/// Models from a hub, which is a small one on this machine.
@Suite(.enabled(if: Curl.isThere)) struct DownloadTests {
    private static func contents(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private struct Place: Sendable {
        let hub: SmallHub
        let folder: String
        let server: RunningServer

        func start(_ more: String = "") async throws -> LoopbackClient.Answer {
            try await server.post("/admin/models/download", #"{"repo_id":"org/model"\#(more)}"#)
        }

        func job(_ id: String) async throws -> JSONValue { try await server.get("/admin/models/download/\(id)/progress").json }

        /// The job when it has ended.
        func ended(_ answer: LoopbackClient.Answer) async throws -> JSONValue {
            let id = answer.json["download_id"]?.string ?? ""
            for _ in 0..<2000 {
                let job = try await job(id)
                if job["status"]?.string != "downloading" { return job }
                try await Task.sleep(for: .milliseconds(5))
            }
            throw ClientFailure(description: "the download does not end: \(answer.text)")
        }

        var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() }
        func bytes(_ name: String) -> [UInt8]? { Corpus.bytes(of: folder + "/" + name) }
    }

    private static func run(
        _ files: [SmallHub.File], enabled: Bool = true, timeout: Duration = .seconds(10), token: String? = nil,
        _ body: @escaping @Sendable (Place) async throws -> Void
    ) async throws {
        let hub = try SmallHub(files)
        let folder = TemporaryFolder().path + "/models"
        var configuration = EventTests.quick
        configuration.downloadsEnabled = enabled
        configuration.hub = hub.address
        configuration.hubTimeout = timeout
        configuration.hubToken = token.flatMap { Secret($0) }
        var closures = Closures()
        closures.downloadFolder = folder
        try await RunningServer.run(
            models: [], configuration: configuration, closures: closures,
            catalogue: {
                ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".gguf") }.map {
                    CatalogueEntry(id: String($0.dropLast(5)), path: folder + "/" + $0, format: "gguf", quantization: nil, sizeBytes: 1)
                }
            }
        ) { server in try await body(Place(hub: hub, folder: folder, server: server)) }
    }

    @Test(arguments: [0, 1, 55, 56, 63, 64, 65, 1000])
    func aSumIsTheSameHoweverTheBytesCome(_ count: Int) {
        let bytes = Self.contents(count)
        for kind in [Digest.Kind.sha256, .sha1] {
            var whole = Digest(kind)
            whole.update(bytes)
            var pieces = Digest(kind)
            for byte in bytes { pieces.update([byte]) }
            #expect(whole.hex == pieces.hex)
        }
    }

    @Test func sumsAreThoseOfTheStandard() {
        func sum(_ kind: Digest.Kind, _ text: String) -> String {
            var digest = Digest(kind)
            digest.update(Array(text.utf8))
            return digest.hex
        }
        #expect(sum(.sha256, "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(sum(.sha256, "") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            sum(.sha256, String(repeating: "a", count: 1_000_000)) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
        #expect(sum(.sha1, "abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(sum(.sha1, "") == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    }

    @Test func downloadingIsOffUnlessConfigured() async throws {
        try await Self.run([.init(name: "a.gguf", bytes: [1])], enabled: false) { place in
            let answer = try await place.start()
            #expect(answer.status == 403 && answer.json["error"]?["code"]?.string == "downloads_disabled")
            let load = try await place.server.post("/admin/models/load", #"{"model_id":"org/model","auto_download":true}"#)
            #expect(load.status == 403 && place.hub.paths.isEmpty)
        }
    }

    @Test func aModelIsFetchedCheckedAndListedWithItsProgress() async throws {
        let bytes = Self.contents(3_000_000)
        try await Self.run([.init(name: "small.gguf", bytes: bytes), .init(name: "README.md", bytes: [1], isLarge: false)]) { place in
            let reader = try await place.server.events()
            let answer = try await place.start()
            #expect(answer.status == 200 && answer.json["estimated_size_bytes"]?.int == 3_000_000)
            #expect(answer.json["status"]?.string == "downloading" && answer.json["repo_id"]?.string == "org/model")
            let frames = try await reader.collect { $0.event == "download_completed" }
            let progress = frames.filter { $0.event == "download_progress" }.compactMap { $0.data["bytes"]?.int }
            #expect(progress == progress.sorted() && progress.last == 3_000_000 && progress.count > 1)
            #expect(frames.last?.data["local_path"]?.string == place.folder + "/small.gguf")
            let job = try await place.ended(answer)
            #expect(job["status"]?.string == "completed" && job["progress_percent"]?.number == 100)
            #expect(job["files_completed"]?.int == 1 && job["downloaded_bytes"]?.int == 3_000_000)
            #expect(place.names == ["small.gguf"] && place.bytes("small.gguf") == bytes)
            #expect(try await place.server.get("/admin/models").json["models"]?[0]?["id"]?.string == "small")
            #expect(try await place.server.get("/admin/models/downloads").json["downloads"]?.count == 0)
            let all = try await place.server.get("/admin/models/downloads?include_inactive=true").json["downloads"]
            #expect(all?.count == 1 && all?[0]?["completed_at"]?.number != nil)
            let again = try await place.start()
            #expect(again.status == 409 && again.json["error"]?["code"]?.string == "model_exists")
        }
    }

    @Test func aCheckpointBecomesAFolderAndAnETagIsAChecksumToo() async throws {
        let files: [SmallHub.File] = [
            .init(name: "config.json", bytes: Array("{}".utf8), isLarge: false), .init(name: "model.safetensors", bytes: Self.contents(5000)),
            .init(name: "tokenizer.json", bytes: Self.contents(300), isLarge: nil), .init(name: "onnx/model.onnx", bytes: [1]),
            .init(name: "pytorch_model.bin", bytes: [1]), .init(name: "../evil.json", bytes: [1]), .init(name: ".hidden.json", bytes: [1]),
        ]
        try await Self.run(files) { place in
            let job = try await place.ended(try await place.start())
            #expect(job["status"]?.string == "completed" && job["model_id"]?.string == "model", "\(job.serialized())")
            #expect(place.names == ["model"])
            let inside = try FileManager.default.contentsOfDirectory(atPath: place.folder + "/model").sorted()
            #expect(inside == ["config.json", "model.safetensors", "tokenizer.json"])
            for file in files.prefix(3) { #expect(place.bytes("model/" + file.name) == file.bytes) }
        }
    }

    @Test func aBrokenConnectionIsTakenUpWhereItBroke() async throws {
        let bytes = Self.contents(5_000_000)
        try await Self.run([.init(name: "a.gguf", bytes: bytes)]) { place in
            place.hub.state.withLock { ($0.cutAfter, $0.cuts) = (1_500_000, 2) }
            let job = try await place.ended(try await place.start())
            #expect(job["status"]?.string == "completed", "\(job.serialized())")
            #expect(place.bytes("a.gguf") == bytes)
            #expect(Set(place.hub.ranges).count == 2, "\(place.hub.ranges)")
        }
    }

    @Test func aLaterTryGoesOnWhereTheLastOneEnded() async throws {
        let bytes = Self.contents(4_000_000)
        try await Self.run([.init(name: "a.gguf", bytes: bytes)]) { place in
            place.hub.state.withLock { ($0.cutAfter, $0.cuts, $0.partStatus) = (2_500_000, 1, 404) }
            let failed = try await place.ended(try await place.start())
            #expect(failed["status"]?.string == "failed" && failed["error_code"]?.string == "hub_failed")
            #expect(place.names.count == 1 && place.names[0].hasPrefix(".download-org--model-"), "nothing that is listed")
            place.hub.state.withLock { $0.partStatus = nil }
            let second = try await place.ended(try await place.start())
            #expect(second["status"]?.string == "completed" && place.bytes("a.gguf") == bytes)
            #expect(place.hub.ranges.last == "bytes=2500000-")
        }
    }

    @Test(arguments: [1, 2])
    func whatArrivesDamagedIsFetchedOnceMoreAndThenRefused(_ corruptions: Int) async throws {
        let bytes = Self.contents(100_000)
        try await Self.run([.init(name: "a.gguf", bytes: bytes)]) { place in
            place.hub.state.withLock { $0.corruptions = corruptions }
            let job = try await place.ended(try await place.start())
            if corruptions == 1 {
                #expect(job["status"]?.string == "completed" && place.bytes("a.gguf") == bytes)
            } else {
                #expect(job["status"]?.string == "failed" && job["error_code"]?.string == "checksum_mismatch")
                #expect(!place.names.contains("a.gguf"))
            }
        }
    }

    @Test func aModelThatTheDiskCannotHoldIsRefusedBeforeItIsFetched() async throws {
        try await Self.run([.init(name: "a.gguf", bytes: [1], claimedSize: 1 << 46)]) { place in
            let answer = try await place.start()
            #expect(answer.status == 507 && answer.json["error"]?["code"]?.string == "storage-full")
            #expect(answer.json["error"]?["lmx_code"]?.string == "insufficient_disk" && answer.json["code"]?.string == "storage_full")
            #expect(place.hub.paths.count == 1)
        }
    }

    @Test func aDownloadIsCancelledAndLeavesNothing() async throws {
        try await Self.run([.init(name: "a.gguf", bytes: Self.contents(10_000))]) { place in
            let reader = try await place.server.events()
            place.hub.state.withLock { ($0.cutAfter, $0.cuts, $0.refusals["a.gguf"]) = (0, 0, 503) }
            let id = try await place.start().json["download_id"]?.string ?? ""
            #expect(try await place.start().json["download_id"]?.string == id, "a second one joins the first")
            let answer = try await place.server.send("POST", "/admin/models/download/\(id)/cancel")
            #expect(answer.status == 200 && answer.json["status"]?.string == "cancelled")
            _ = try await reader.collect { $0.event == "download_cancelled" }
            #expect(place.names == [])
            #expect(try await place.server.send("POST", "/admin/models/download/none/cancel").status == 404)
        }
    }

    @Test func aHubThatDoesNotAnswerIsATimeout() async throws {
        try await Self.run([.init(name: "a.gguf", bytes: [1])], timeout: .milliseconds(200)) { place in
            place.hub.state.withLock { $0.isMute = true }
            let answer = try await place.start()
            place.hub.state.withLock { $0.isMute = false }
            #expect(answer.status == 504 && answer.json["error"]?["code"]?.string == "lmx-timeout")
            #expect(answer.json["code"]?.string == "timeout")
        }
    }

    @Test func theTokenGoesToTheHubAlone() async throws {
        try await Self.run([.init(name: "a.gguf", bytes: [1, 2, 3])], token: "secret") { place in
            place.hub.state.withLock { $0.redirectsTo = "localhost:\(place.hub.port)" }
            let job = try await place.ended(try await place.start())
            #expect(job["status"]?.string == "completed")
            let requests = place.hub.state.withLock(\.requests)
            #expect(requests.filter { $0.host?.hasPrefix("127.0.0.1") == true }.allSatisfy { $0.authorization == "Bearer secret" })
            let others = requests.filter { $0.host?.hasPrefix("localhost") == true }
            #expect(!others.isEmpty && others.allSatisfy { $0.authorization == nil })
        }
    }

    @Test func severalModelsInARepositoryAreToldApartByPatterns() async throws {
        let files = ["x-Q4_0.gguf", "x-Q8_0-00001-of-00002.gguf", "x-Q8_0-00002-of-00002.gguf"].map {
            SmallHub.File(name: $0, bytes: Self.contents(100, seed: UInt64($0.utf8.count)))
        }
        try await Self.run(files) { place in
            let answer = try await place.start()
            #expect(answer.status == 400 && answer.json["error"]?["param"]?.string == "allow_patterns")
            #expect(answer.json["error"]?["message"]?.string?.contains("x-Q8_0") == true)
            let job = try await place.ended(try await place.start(#","allow_patterns":["*Q8_0*"]"#))
            #expect(job["files_total"]?.int == 2 && job["model_id"]?.string == "x-Q8_0")
            #expect(place.names == [files[1].name, files[2].name])
        }
    }

    @Test(arguments: [true, false])
    func aModelThatIsNotThereIsFetchedAndLoaded(_ asks: Bool) async throws {
        try await Self.run([.init(name: "model.gguf", bytes: Self.contents(1000))]) { place in
            var answer = try await place.server.post("/admin/models/load", #"{"model_id":"org/model","auto_download":\#(!asks)}"#)
            #expect(answer.status == 202)
            if asks {
                #expect(answer.json["status"]?.string == "download_required" && answer.json["estimated_size_bytes"]?.int == 1000)
                let word = answer.json["confirmation_token"]?.string ?? ""
                answer = try await place.server.post("/admin/models/load/confirm", #"{"confirmation_token":"\#(word)"}"#)
                #expect(answer.status == 202)
                let again = try await place.server.post("/admin/models/load/confirm", #"{"confirmation_token":"\#(word)"}"#)
                #expect(again.status == 404 && again.json["error"]?["code"]?.string == "token_not_found")
            }
            #expect(answer.json["status"]?.string == "downloading" && answer.json["progress_url"]?.string?.hasSuffix("/progress") == true)
            #expect(try await StreamTests.eventually { place.server.engine.state(of: "model") == .ready })
            let load = try await place.server.post("/admin/models/load", #"{"model_id":"org/model"}"#)
            #expect(load.status == 200 && load.json["model_id"]?.string == "model")
        }
    }

    @Test func whatIsNoNameOfAModelIsRefused() async throws {
        try await Self.run([.init(name: "a.bin", bytes: [1])]) { place in
            for id in ["model", "a/b/c", "../x", "org/.x", "o rg/x", "org/x?y", ""] {
                #expect(try await place.server.post("/admin/models/download", #"{"repo_id":"\#(id)"}"#).status == 400, "\(id)")
            }
            #expect(try await place.start(#","revision":"../x""#).status == 400)
            #expect(try await place.start().status == 400, "nothing that runs here")
            let none = try await place.server.post("/admin/models/download", #"{"repo_id":"org/other"}"#)
            #expect(none.status == 404 && none.json["error"]?["code"]?.string == "model-not-found")
            place.hub.state.withLock { $0.files = [.init(name: "a.gguf", bytes: [1], claimedSize: -5)] }
            #expect(try await place.start().status == 502)
        }
    }
}
