import Compute
import Engine
import Formats
import Text
import Weights

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Random loads, unloads, evictions, answers and cancellations of a few tiny models at once, to be built with the thread
/// sanitizer: `races MODELS STEPS SEED…`. What an answer says must not depend on what goes on beside it.
@main
enum Races {
    static let models = ["llama/gguf/Q4_1.gguf", "llama/mlx/q4-g64-f16", "qwen3/gguf/Q8_0.gguf"]
    static let workers = 6

    static func main() async {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count >= 3, let steps = Int(arguments[arguments.startIndex + 1]) else {
            print("usage: races MODELS STEPS SEED…")
            exit(2)
        }
        var failures = 0
        for seed in arguments.dropFirst(2).compactMap({ UInt64($0) }) {
            do {
                failures += try await Run(folder: arguments[arguments.startIndex], steps: steps, seed: seed).run()
            } catch {
                print("seed \(seed): \(error)")
                failures += 1
            }
        }
        exit(failures == 0 ? 0 : 1)
    }
}

/// One engine and one seed.
private struct Run: Sendable {
    let folder: String
    let steps: Int
    let seed: UInt64
    let engine: InferenceEngine
    let counts = Locked<[String: Int]>([:])

    init(folder: String, steps: Int, seed: UInt64) {
        self.folder = folder
        self.steps = steps
        self.seed = seed
        var options = EngineOptions()
        options.parallel = 3
        options.queue = 8
        options.contextLength = 256
        engine = InferenceEngine(options: options)
    }

    func run() async throws -> Int {
        let begun = ContinuousClock.now
        let before = MemoryGauge().processBytes() ?? 0
        // What every prompt is answered with when nothing else goes on.
        for id in Races.models { try await load(id, .init()) }
        var expected: [String: [String]] = [:]
        for id in Races.models {
            for prompt in 0..<4 { expected[id, default: []].append(try await engine.generate(request(id, prompt)).collected().text) }
        }
        let truth = expected
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<Races.workers {
                group.addTask {
                    var random = SeededGenerator(seed: seed &* 1000 &+ UInt64(worker))
                    let share = (steps + Races.workers - 1 - worker) / Races.workers
                    for _ in 0..<share { await step(&random, truth) }
                }
            }
        }
        await engine.drain(grace: .seconds(20))
        let status = engine.status()
        let left = status.models.count + status.loading.count + status.states.values.count { $0 == .draining }
        let counts = counts.withLock { $0 }
        let time = (ContinuousClock.now - begun).components.seconds
        print("seed \(seed): \(steps) steps in \(time) s, \(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
        print("seed \(seed): \(left) models left, memory grew by \(((MemoryGauge().processBytes() ?? 0) - before) >> 20) MiB")
        return left + (counts["WRONG TEXT"] ?? 0) + (counts["FOREIGN ERROR"] ?? 0)
    }

    private func note(_ what: String) { counts.withLock { $0[what, default: 0] += 1 } }

    private func step(_ random: inout SeededGenerator, _ truth: [String: [String]]) async {
        let id = Races.models[Int.random(in: 0..<Races.models.count, using: &random)]
        let prompt = Int.random(in: 0..<4, using: &random)
        let number = Int.random(in: 0..<6, using: &random)
        do {
            switch Int.random(in: 0..<20, using: &random) {
            case 0...3:
                let report = try await load(id, plan(Bool.random(using: &random)))
                note(report.wasLoaded ? "present" : "loaded")
            case 4, 5:
                _ = try await engine.unload(id, grace: .milliseconds(10 * number), reason: number == 0 ? .memory : .manual)
                note("unloaded")
            case 6: note(await engine.evict(id, reason: .lru) == nil ? "not evicted" : "evicted")
            case 7:
                // A load that is called off while it works.
                async let load = load(id, plan(false))
                async let unload = engine.unload(id)
                _ = try? await unload
                _ = try await load
                note("loaded beside an unload")
            case 8:
                _ = engine.status()
                _ = engine.expired(after: .milliseconds(1))
                _ = engine.leastRecentlyUsed(keeping: id)
                note("looked")
            case 9...11:
                let stream = try engine.generate(request(id, prompt))
                var left = number
                for try await _ in stream {
                    left -= 1
                    if left <= 0 { stream.cancel() }
                }
                note("cancelled")
            case 12:
                _ = try engine.generate(request(id, prompt))  // and let go of it
                note("let go")
            case 13:
                let task = Task { try await engine.use(id).id }
                if number < 3 { task.cancel() }
                _ = try? await task.value
                note("waited")
            default:
                let model = try await engine.use(id)
                let answer = try await engine.generate(request(model.id, prompt)).collected()
                note(answer.reason == .cancelled ? "ended early" : answer.text == truth[id]?[prompt] ? "answered" : "WRONG TEXT")
            }
        } catch let error as EngineError {
            note("refused: " + error.code)
        } catch {
            print("seed \(seed): \(error)")
            note("FOREIGN ERROR")
        }
    }

    private func plan(_ hasForecast: Bool) -> InferenceEngine.LoadPlan {
        var plan = InferenceEngine.LoadPlan()
        if hasForecast { plan.forecast = { MemoryNeeds(weightBytes: 1 << 20) } }
        plan.makeRoom = { [engine] in
            guard let id = engine.leastRecentlyUsed() else { return false }
            return await engine.evict(id, reason: .lru) != nil
        }
        return plan
    }

    @discardableResult
    private func load(_ id: String, _ plan: InferenceEngine.LoadPlan) async throws(EngineError) -> LoadReport {
        let path = folder + "/" + id
        return try await engine.load(id, plan) { progress in
            let source = try ModelSources.open(path)
            guard let spec = source.tokenizer else { throw ModelError(.missing, at: path, "has no tokenizer") }
            let tokenizer = try Tokenizer(spec)
            let model = try Model.load(source, options: ModelOptions(threads: 2, maximumBatchTokens: 64), progress: progress)
            let info = ModelInfo(
                id: id, path: path, format: "", quantization: nil, architecture: model.architectureName, sizeBytes: 0,
                contextLength: model.hyperparameters.contextLength)
            return try LoadedModel(info: info, model: model, tokenizer: tokenizer, template: nil)
        }
    }

    /// Greedy or seeded, so that an answer is one text whatever runs beside it.
    private func request(_ id: String, _ number: Int) -> GenerationRequest {
        let length = [3, 20, 50, 90][number]
        var request = GenerationRequest(model: id, prompt: (0..<length).map { Int32(($0 * 7 + number) % 90 + 5) })
        request.maximumTokens = [12, 30, 8, 20][number]
        request.sampling.temperature = number == 0 ? 0 : 1
        request.sampling.seed = UInt64(number)
        return request
    }
}
