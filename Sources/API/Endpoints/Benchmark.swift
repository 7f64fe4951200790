import Engine
import Weights

/// `POST /admin/benchmark`: a few answers of a loaded model, measured.
package struct Benchmark: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/benchmark"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let model: String
        let prompt: String
        let maximumTokens: Int
        let temperature: Double
        let runs: Int

        package init(_ fields: Fields) throws(APIError) {
            model = try fields.required("model_id", try fields.first(of: ["model_id", "model"]))
            prompt = try fields.string("prompt") ?? Trial.prompt
            maximumTokens = try fields.integer("max_tokens", in: 1...4096) ?? 128
            temperature = try fields.number("temperature", in: 0...2) ?? 0.7
            runs = try fields.integer("runs", in: 1...5) ?? 1
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        let trials = try await Trials.run(
            body.runs, warmups: 0, of: body.prompt, maximumTokens: body.maximumTokens, temperature: body.temperature,
            model: try await server.model(named: body.model), server: server)
        let results = trials.counted.enumerated().map { index, trial in
            JSONValue.object([
                "run": .int(index + 1), "tokens_generated": .int(trial.usage.completionTokens),
                "prompt_tokens": .int(trial.usage.promptTokens),
                "time_to_first_token_ms": .float(trial.timings.firstToken * 1000), "total_time_ms": .float(trial.timings.total * 1000),
                "tokens_per_second": .decimal(trial.tokensPerSecond),
                "prefill_tokens_per_second": .decimal(trial.promptTokensPerSecond), "speculative": .null,
            ])
        }
        return .json(
            .object([
                "model_id": .string(trials.model.id), "backend_type": .string(trials.model.info.pathName), "prompt": .string(body.prompt),
                "max_tokens": .int(body.maximumTokens), "runs": .int(body.runs), "results": .array(results),
                "avg_tokens_per_second": .float(trials.speeds.mean ?? 0),
                "avg_time_to_first_token_ms": .float((trials.firstTokens.mean ?? 0) * 1000),
                "avg_total_time_ms": .float((trials.totals.mean ?? 0) * 1000),
                "prefill_tokens_per_second": .decimal(trials.promptSpeeds.mean),
                "decode_tokens_per_second": .decimal(trials.speeds.mean), "speculative": .null,
            ]))
    }
}
