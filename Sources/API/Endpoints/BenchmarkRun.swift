import Engine
import Weights

/// `POST /admin/benchmark/run`: a benchmark with warm-up and percentiles, which is kept.
package struct BenchmarkRun: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/benchmark/run"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let model: String
        let prompt: String
        let tokens: Int
        let runs: Int
        let temperature: Double
        let warmups: Int

        package init(_ fields: Fields) throws(APIError) {
            model = try fields.required("model_id", try fields.first(of: ["model_id", "model"]))
            prompt = try fields.string("prompt") ?? Trial.prompt
            tokens = try fields.integer("num_output_tokens", in: 50...2000) ?? 200
            runs = try fields.integer("runs", in: 1...20) ?? 5
            temperature = try fields.number("temperature", in: 0...2) ?? 0
            warmups = try fields.integer("warmup_runs", in: 0...3) ?? 1
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        guard let model = try? await server.model(named: body.model) else {
            throw APIError(
                409, "model_not_loaded", type: "conflict", parameter: "model_id",
                "model_not_loaded: '\(APIError.echo(body.model))' (load it first)")
        }
        let trials = try await Trials.run(
            body.runs, warmups: body.warmups, of: body.prompt, maximumTokens: body.tokens, temperature: body.temperature, model: model,
            server: server)
        let report = Self.report(trials, body, server)
        server.benchmarks.add(report)
        return .json(report)
    }

    private static func report(_ trials: Trials, _ body: Body, _ server: ServerContext) -> JSONValue {
        let (speeds, first, total) = (trials.speeds, trials.firstTokens, trials.totals)
        let runs = trials.counted.enumerated().map { index, trial in
            JSONValue.object([
                "run_index": .int(index), "tokens_per_second": .float(trial.tokensPerSecond ?? 0),
                "time_to_first_token_ms": .float(trial.timings.firstToken * 1000),
                "total_time_ms": .float(trial.timings.total * 1000), "tokens_generated": .int(trial.usage.completionTokens),
            ])
        }
        return .object([
            "model_id": .string(trials.model.id), "backend": .string(trials.model.info.backend),
            "format": .string(trials.model.info.format), "quantization": .text(trials.model.info.quantization),
            "timestamp": .string(ISODate.text(WallClock.seconds)), "status": .string(speeds.mean == nil ? "insufficient_data" : "ok"),
            "hardware": .string("\(Machine.processor), \(Machine.processors) processors"), "lmx_version": .string(server.version),
            "prompt_preview": .string(String(body.prompt.prefix(80))), "stats": stats(trials),
            "avg_tokens_per_second": .float(speeds.mean ?? 0), "tokens_per_second": .float(speeds.mean ?? 0),
            "p95_tokens_per_second": .float(speeds.quantile(0.05) ?? 0), "p95_tps": .float(speeds.quantile(0.05) ?? 0),
            "avg_time_to_first_token_ms": .float((first.mean ?? 0) * 1000), "ttft_ms": .float((first.mean ?? 0) * 1000),
            "p95_ttft_ms": .float((first.quantile(0.95) ?? 0) * 1000), "total_time_ms": .float((total.mean ?? 0) * 1000),
            "prefill_tokens_per_second": .decimal(trials.promptSpeeds.mean), "decode_tokens_per_second": .decimal(speeds.mean),
            "total_runs": .int(runs.count), "runs": .array(runs),
        ])
    }

    /// Of speeds the 95th percentile is the one that 95 of 100 runs reach: the slow end.
    private static func stats(_ trials: Trials) -> JSONValue {
        let (speeds, first) = (trials.speeds, trials.firstTokens)
        let last = trials.counted.last
        let text = last?.text ?? ""
        let repetition = Self.repetition(text)
        let flag =
            text.contains("\u{FFFD}") ? "garbled" : repetition > 0.5 ? "repetitive" : last?.reason == .length ? "truncated" : "ok"
        return .object([
            "ttft_p50_sec": .decimal(first.quantile(0.5)), "ttft_p95_sec": .decimal(first.quantile(0.95)),
            "ttft_mean_sec": .decimal(first.mean), "toks_per_sec_p50": .decimal(speeds.quantile(0.5)),
            "toks_per_sec_p95": .decimal(speeds.quantile(0.05)), "toks_per_sec_mean": .decimal(speeds.mean),
            "prompt_tokens": .int(last?.usage.promptTokens ?? 0), "output_tokens": .int(last?.usage.completionTokens ?? 0),
            "output_token_count": .int(last?.usage.completionTokens ?? 0), "runs_completed": .int(trials.counted.count),
            "warmup_runs_discarded": .int(trials.warmups.count), "output_text": .string(text),
            "completed_naturally": .bool(last?.reason == .stop), "repetition_ratio": .float(repetition),
            "coherence_flag": .string(flag), "tool_call": .null, "skills": .array([]),
        ])
    }

    /// The share of three-word sequences that had been there before.
    private static func repetition(_ text: String) -> Double {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count > 3 else { return 0 }
        let triples = (0...(words.count - 3)).map { words[$0..<($0 + 3)].joined(separator: " ") }
        return 1 - Double(Set(triples).count) / Double(triples.count)
    }
}

/// The benchmarks that ran since the server started, the last hundred.
final class BenchmarkShelf: Sendable {
    static let kept = 100
    private let reports = Locked<[JSONValue]>([])

    var all: [JSONValue] { reports.withLock { $0 } }

    func add(_ report: JSONValue) {
        reports.withLock { reports in
            if reports.count == Self.kept { reports.removeFirst() }
            reports.append(report)
        }
    }
}
