import Engine
import Text
import Weights

/// One measured answer: what it took, counted honestly. The first token's time belongs to the prompt, so n tokens are n − 1
/// intervals of decoding; the prompt's speed stands on its own.
struct Trial: Sendable {
    let usage: Usage
    let timings: Timings
    let text: String
    let reason: FinishReason

    /// Nil below two tokens.
    var tokensPerSecond: Double? { timings.decode > 0 ? timings.decodeTokensPerSecond(usage) : nil }
    /// Nil where the cache had a part of the prompt: the rest would look slow.
    var promptTokensPerSecond: Double? {
        timings.prefill > 0 && usage.cachedTokens == 0 ? timings.promptTokensPerSecond(usage) : nil
    }

    /// - Parameter prompt: through the model's own chat template where it has one.
    static func run(
        _ prompt: String, maximumTokens: Int, temperature: Double, model: ServedModel, server: ServerContext
    ) async throws -> Trial {
        var request = GenerationRequest(model: model.id, prompt: try await Worker.run { try tokens(prompt, for: model) })
        request.maximumTokens = maximumTokens
        request.sampling.temperature = Float(temperature)
        let stream = try server.engine.generate(request)
        return try await withTaskCancellationHandler {
            var text = ""
            for try await event in stream {
                switch event {
                case .started: break
                case .text(let piece, _): text += piece
                case .finished(let reason, let usage, let timings):
                    if reason == .cancelled { throw CancellationError() }
                    return Trial(usage: usage, timings: timings, text: text, reason: reason)
                }
            }
            try Task.checkCancellation()
            throw APIError.shuttingDown
        } onCancel: {
            stream.cancel()
        }
    }

    private static func tokens(_ prompt: String, for model: ServedModel) throws -> [Int32] {
        guard let template = model.template else {
            return model.tokenizer.encode(segments: [TextSegment(text: prompt, isUserText: false)])
        }
        return try Prompt.chat([.object(["role": .string("user"), "content": .string(prompt)])], template, for: model)
    }

    /// What a benchmark asks where its caller says nothing.
    static let prompt = "Explain in a few sentences why the sky is blue and why sunsets are red."
}

/// Several trials of one model.
struct Trials: Sendable {
    let model: ServedModel
    let counted: [Trial]
    let warmups: [Trial]

    /// - Parameter told: how many are done, after each of the counted ones.
    static func run(
        _ count: Int, warmups: Int, of prompt: String, maximumTokens: Int, temperature: Double, model: ServedModel, server: ServerContext
    ) async throws -> Trials {
        var done: [Trial] = []
        for number in 0..<(warmups + count) {
            let trial = try await Trial.run(
                prompt, maximumTokens: maximumTokens, temperature: temperature, model: model, server: server)
            done.append(trial)
            if number >= warmups {
                server.events.tell(
                    LiveEvent(
                        named: "benchmark_progress",
                        [
                            "model_id": .string(model.id), "run": .int(number - warmups + 1), "runs": .int(count),
                            "tokens_per_second": .decimal(trial.tokensPerSecond),
                        ], isKept: false))
            }
        }
        let trials = Trials(model: model, counted: Array(done.dropFirst(warmups)), warmups: Array(done.prefix(warmups)))
        let speed = ((trials.speeds.mean ?? 0) * 10).rounded() / 10
        server.log(
            LogLine(
                .info, "Benchmark model=\(model.id) runs=\(count) speed=\(speed)tok/s", event: "benchmark_complete",
                ["model_id": .string(model.id), "runs": .int(count), "avg_tok_per_sec": .float(speed)]))
        return trials
    }

    var speeds: Sample { Sample(counted.compactMap(\.tokensPerSecond)) }
    /// Of all runs whose prompt was computed whole; after the first one the cache has it.
    var promptSpeeds: Sample { Sample((warmups + counted).compactMap(\.promptTokensPerSecond)) }
    var firstTokens: Sample { Sample(counted.map(\.timings.firstToken)) }  // seconds
    var totals: Sample { Sample(counted.map(\.timings.total)) }  // seconds
}

/// A handful of measurements.
struct Sample: Sendable {
    private let sorted: [Double]

    init(_ values: [Double]) { sorted = values.sorted() }

    /// Nil of nothing.
    var mean: Double? { sorted.isEmpty ? nil : sorted.reduce(0, +) / Double(sorted.count) }

    /// The least value that this share of the others does not exceed.
    func quantile(_ share: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        return sorted[min(sorted.count - 1, max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
    }
}
