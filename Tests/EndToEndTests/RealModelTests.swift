import Foundation
import TestSupport
import Testing
import Weights

/// The default model, where the models folder holds it, against what the reference implementations recorded.
@Suite(.serialized) struct RealModelTests {
    static let gguf = find("SmolLM2-135M-Instruct.Q4_1.gguf")

    private static func find(_ name: String) -> String? {
        guard let folder = Corpus.models, FileManager.default.fileExists(atPath: folder + "/" + name) else {
            print("\(name): not present, its tests are skipped")
            return nil
        }
        return folder + "/" + name
    }

    /// llama.cpp's own figure for the same file and text, recorded by its perplexity tool.
    @Test(.enabled(if: gguf != nil))
    func packedArithmeticIsNoFurtherFromPreciseThanTheReferences() throws {
        let path = try #require(Self.gguf)
        let data = try Data(contentsOf: URL(fileURLWithPath: Corpus.testdata + "/real/llama-cpp-kld.json"))
        let reference = try JSONValue.parse(Array(data), maximumDepth: 16)
        let outcome = try Binary.run(["perplexity", path, Corpus.testdata + "/text/english.txt", "--against", path, "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let found = try JSONValue.parse(Array(outcome.output.utf8), maximumDepth: 16)
        let divergence = try #require(number(found["kl_divergence"]))
        let ratio = try #require(number(found["perplexity_ratio"]))
        print("KL divergence \(divergence), llama.cpp \(number(reference["meanKLD"]) ?? 0); perplexity ratio \(ratio)")
        #expect(divergence <= (try #require(number(reference["meanKLD"]))))
        #expect(abs(ratio - 1) < 0.003)
    }

    @Test(.enabled(if: gguf != nil))
    func theServerStartsLoadsAndStaysSmall() throws {
        let path = try #require(Self.gguf)
        _ = try Data(contentsOf: URL(fileURLWithPath: path))  // into the file cache
        let server = try RunningServer([path, "--context", "2048", "--parallel", "1"])
        defer { server.stop() }
        let ready = try #require(server.secondsToReady)
        print("healthy after \(server.secondsToHealth) s, ready after \(ready) s")
        #expect(server.secondsToHealth < 1)
        #expect(ready - server.secondsToHealth < 1)
        let chat = #"{"model":"auto","messages":[{"role":"user","content":"Count to five."}],"max_tokens":16}"#
        #expect(try server.client.post("/v1/chat/completions", chat).status == 200)
        let size = try #require(
            (try FileManager.default.attributesOfItem(atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path))[.size] as? Int)
        let cache = 30 * 2 * 3 * 64 * 2 * 2048  // layers × (keys and values) × heads × size × bytes × positions
        let peak = try #require(peakMemory(of: server.process.processIdentifier))
        print("peak memory \(peak >> 20) MiB, file \(size >> 20) MiB, cache \(cache >> 20) MiB")
        #expect(peak < size + cache + 150 << 20)
    }

    @Test(.enabled(if: gguf != nil))
    func healthAnswersWhileEveryCoreComputes() throws {
        let server = try RunningServer([try #require(Self.gguf)])
        defer { server.stop() }
        let client = server.client
        let long = String(repeating: "The river flows to the sea. ", count: 150)
        let body = #"{"model":"auto","messages":[{"role":"user","content":"\#(long)"}],"max_tokens":200}"#
        let workers = (0..<4).map { _ in Thread { _ = try? client.post("/v1/chat/completions", body) } }
        for worker in workers { worker.start() }
        // Connections that asked once and hang since.
        let idle = try (0..<200).map { _ in
            let socket = try client.connect()
            try client.write(Array("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), to: socket)
            return socket
        }
        defer { for socket in idle { close(socket) } }
        usleep(200_000)
        var times: [Double] = []
        for _ in 0..<20 {
            for path in ["/healthz", "/readyz", "/admin/health", "/v1/discovery", "/.well-known/opta-lmx"] {
                let start = Date()
                #expect(try client.get(path).status == 200)
                times.append(Date().timeIntervalSince(start))
            }
            usleep(20_000)
        }
        times.sort()
        print("health: median \(Int(times[50] * 1000)) ms, slowest \(Int(times[99] * 1000)) ms")
        // tools/bench/health holds the documented 250 ms; here other tests' leavings may be in the way.
        #expect(times[97] < 0.5)
    }

    private func peakMemory(of process: Int32) -> Int? {
        let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = text?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
    }

    private func number(_ value: JSONValue?) -> Double? {
        switch value {
        case .float(let number): number
        case .int(let number): Double(number)
        default: nil
        }
    }
}
