import Compute
import Engine
import Formats
import TestSupport
import Testing
import Text
import Weights

/// The engine over real forward passes: small random models in several stored forms.
struct TinyModelTests {
    static let paths = [
        "llama/gguf/Q4_1.gguf", "llama/gguf/Q8_0.gguf", "llama/mlx/q4-g64-f16", "gemma3/gguf/Q8_0.gguf", "qwen3/gguf/Q8_0.gguf",
    ]

    private struct Opened {
        let model: Model
        let tokenizer: Tokenizer

        init(_ path: String, stepTokens: Int = 512) throws {
            let source = try ModelSources.open(Corpus.testdata + "/tiny/" + path)
            tokenizer = try Tokenizer(try #require(source.tokenizer))
            model = try Model.load(source, options: ModelOptions(threads: 2, maximumBatchTokens: stepTokens))
        }

        func loaded(_ id: String) throws -> LoadedModel {
            let info = ModelInfo(
                id: id, path: "", format: "", quantization: nil, architecture: model.architectureName, sizeBytes: 0,
                contextLength: model.hyperparameters.contextLength)
            return try LoadedModel(info: info, model: model, tokenizer: tokenizer, template: nil)
        }
    }

    private func engine(_ opened: Opened) async throws -> InferenceEngine {
        var options = EngineOptions()
        options.parallel = 4
        let engine = InferenceEngine(options: options)
        _ = try await engine.load("tiny") { _ in try opened.loaded("tiny") }
        return engine
    }

    private func request(_ number: Int, _ tokenizer: Tokenizer) -> GenerationRequest {
        let text = String(repeating: "The quick brown fox \(number) ", count: 1 + number * 3)
        var request = GenerationRequest(model: "tiny", prompt: tokenizer.encode(text))
        request.maximumTokens = 10 + number * 4
        request.sampling.temperature = number == 0 ? 0 : 1
        request.sampling.seed = UInt64(number)
        request.topLogprobs = 1
        return request
    }

    @Test(arguments: paths)
    func seededTextsDependNeitherOnCompanyNorOnTheSizeOfSteps(_ path: String) async throws {
        let opened = try Opened(path)
        let engine = try await engine(opened)
        var alone: [[TokenLogprob]] = []
        for number in 0..<6 { alone.append(try await engine.generate(request(number, opened.tokenizer)).collected().tokens) }

        let small = try await self.engine(try Opened(path, stepTokens: 17))
        for crowd in [engine, small] {
            let streams = try (0..<6).map { try crowd.generate(request($0, opened.tokenizer)) }
            for (number, stream) in streams.enumerated() {
                #expect(try await stream.collected().tokens == alone[number], "request \(number), bit for bit")
            }
        }
        #expect(engine.status().statistics.errors == 0 && engine.status().inFlight == 0)
    }

    /// The same conversations with and without guessing and reuse: tokens and log-probabilities, bit for bit.
    @Test(arguments: paths)
    func reuseAndGuessingChangeNoBit(_ path: String) async throws {
        let opened = try Opened(path)
        var plain = EngineOptions()
        (plain.reusesPrefixes, plain.speculation) = (false, .off)
        let without = InferenceEngine(options: plain)
        _ = try await without.load("tiny") { _ in try opened.loaded("tiny") }
        let with = try await engine(opened)
        for turn in 0..<4 {
            for seed in 0..<3 {
                var request = request(2 + turn, opened.tokenizer)  // each begins with the one before
                request.prompt = Array(request.prompt.prefix(400)) + request.prompt.suffix(seed)
                request.maximumTokens = min(60, opened.model.hyperparameters.contextLength - request.prompt.count - 1)
                request.sampling.temperature = [0, 0.3, 1][seed]
                request.sampling.repetitionPenalty = seed == 2 ? 0.8 : 1
                let answers = [try await with.generate(request).collected(), try await without.generate(request).collected()]
                #expect(answers[0].tokens == answers[1].tokens && answers[0].text == answers[1].text, "turn \(turn), seed \(seed)")
            }
        }
        let statistics = with.status().statistics
        #expect(statistics.cachedTokens > 200 && statistics.proposedTokens > 0)
        #expect(without.status().statistics.cachedTokens == 0)
    }

    @Test(arguments: paths)
    func greedyTextIsWhatTheModelSaysStepByStep(_ path: String) async throws {
        let opened = try Opened(path)
        let request = request(0, opened.tokenizer)
        let engine = try await engine(opened)
        let answer = try await engine.generate(request).collected()

        var cache = try opened.model.makeCache(pages: 16)
        var workspace = try opened.model.makeWorkspace()
        let slot = cache.open()
        let isReserved = cache.reserve(slot, tokens: request.prompt.count + 10)
        #expect(isReserved)
        var next = request.prompt
        var said: [Int32] = []
        while said.count < 10 {
            opened.model.forward(Batch(runs: [.init(slot: slot, tokens: next, logits: .last)]), cache: &cache, workspace: &workspace)
            let logits = workspace.logits(0).prefix(opened.tokenizer.vocabularySize)
            let best = Int32(logits.indices.max { (logits[$0], -$0) < (logits[$1], -$1) } ?? 0)
            if opened.tokenizer.endOfGeneration.contains(best) { break }
            said.append(best)
            next = [best]
        }
        #expect(answer.tokens.map(\.id) == said)
    }
}
