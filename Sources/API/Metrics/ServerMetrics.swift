import Engine

/// Every series of `/metrics`, from one look at everything that counts.
struct ServerMetrics {
    let server: ServerContext
    private let status: EngineStatus
    private let figures: Metrics.Figures
    private var page = Exposition()

    init(_ server: ServerContext) {
        self.server = server
        status = server.engine.status()
        figures = server.metrics.now
    }

    static func text(_ server: ServerContext) -> String {
        var metrics = ServerMetrics(server)
        metrics.whole()
        metrics.models()
        metrics.times()
        metrics.paths()
        metrics.process()
        return metrics.page.text
    }

    // ------------------------------------------------------------------------------------------------------ the whole

    private mutating func whole() {
        let totals = status.statistics
        let memory = server.memory()
        page.single("lmx_requests_total", .counter, "Requests for completions, refused ones included.", Double(figures.requests))
        page.single("lmx_errors_total", .counter, "Requests for completions that ended with 429, 5xx or an error in their stream.", Double(figures.errors))
        page.single("lmx_stream_requests_total", .counter, "Requests that were answered by a stream.", Double(figures.streams))
        page.single("lmx_prompt_tokens_total", .counter, "Tokens of prompts.", Double(totals.promptTokens))
        page.single("lmx_completion_tokens_total", .counter, "Tokens of answers.", Double(totals.completionTokens))
        page.single("lmx_prefix_cache_queries_total", .counter, "Tokens of prompts that were looked for in the cache.", Double(totals.promptTokens))
        page.single("lmx_prefix_cache_hits_total", .counter, "Tokens of prompts that the cache had.", Double(totals.cachedTokens))

        let (proposed, accepted) = (totals.proposedTokens, totals.acceptedTokens)
        page.single("lmx_speculative_accepted_tokens_total", .counter, "Guessed tokens that were right.", Double(accepted))
        page.single("lmx_speculative_rejected_tokens_total", .counter, "Guessed tokens that were wrong.", Double(max(0, proposed - accepted)))
        page.single("lmx_speculative_ignored_tokens_total", .counter, "Guessed tokens that were not verified.", 0)
        page.single(
            "lmx_speculative_acceptance_ratio", .gauge, "Share of guesses that were right; NaN before the first.",
            proposed > 0 ? Double(accepted) / Double(proposed) : .nan)

        page.single("lmx_uptime_seconds", .gauge, "Since the server started.", server.lifecycle.uptime)
        page.single("lmx_loaded_models", .gauge, "Models that answer.", Double(status.models.count))
        page.single("lmx_memory_used_gb", .gauge, "Memory in use on the machine, GiB.", Double(memory.usedBytes) / 1_073_741_824)
        page.single("lmx_memory_total_gb", .gauge, "All memory of the machine, GiB.", Double(memory.totalBytes) / 1_073_741_824)
        page.single("lmx_in_flight_requests", .gauge, "Answers waiting or running.", Double(status.inFlight))
        page.single("lmx_concurrent_limit", .gauge, "Answers that may run at once, over all models.", Double(status.models.reduce(0) { $0 + $1.maximumActive }))
        page.single("lmx_queued_requests", .gauge, "Answers waiting.", Double(status.queued))
        page.single("lmx_tokens_per_second", .gauge, "Tokens of all answers together, over the last seconds.", status.throughput)
        page.single("lmx_event_readers", .gauge, "Programs that read the live events.", Double(server.events.readers))
        page.single("lmx_event_readers_dropped_total", .counter, "Readers of the live events that were too slow.", Double(server.events.dropped))
        page.single("lmx_agent_runs_total", .counter, "Always 0: this server runs no agents.", 0)

        page.family("lmx_http_requests_total", .counter, "Answers by route and status.")
        for (outcome, count) in figures.outcomes.sorted(by: { ($0.key.route, $0.key.method, $0.key.status) < ($1.key.route, $1.key.method, $1.key.status) }) {
            page.sample(
                "lmx_http_requests_total",
                [("method", outcome.method), ("route", outcome.route), ("status", String(outcome.status))], Double(count))
        }
        let clients = figures.clients.sorted { $0.key < $1.key }
        for (name, field) in [("requests", \Metrics.Client.requests), ("tokens", \.tokens), ("errors", \.errors)] {
            page.family("lmx_client_\(name)_total", .counter, "By the name that clients give themselves (X-Client-ID).")
            for (client, figures) in clients { page.sample("lmx_client_\(name)_total", [("client", client)], Double(figures[keyPath: field])) }
        }
    }

    // ---------------------------------------------------------------------------------------------------- each model

    /// One family with a sample for each loaded model.
    private mutating func each(_ name: String, _ kind: Exposition.Kind, _ help: String, _ value: (ModelStatus) -> Double) {
        page.family(name, kind, help)
        for model in status.models { page.sample(name, [("model", model.model.id)], value(model)) }
    }

    private mutating func models() {
        let figures = figures
        each("lmx_model_requests_total", .counter, "Answers since the model was loaded.") { Double($0.statistics.requests) }
        each("lmx_model_errors_total", .counter, "Answers that failed.") { Double($0.statistics.errors) }
        each("lmx_model_tokens_total", .counter, "Tokens of answers.") { Double($0.statistics.completionTokens) }
        each("lmx_model_error_rate", .gauge, "Share of answers that failed, 0 to 1.") { $0.statistics.errorRate }
        each("lmx_model_tokens_per_second", .gauge, "Tokens of all its answers together, over the last seconds.") { $0.throughput }
        each("lmx_request_latency_p95_seconds", .gauge, "Time of an answer that 95 of the last 100 kept below.") { $0.statistics.totalTime.p95 }
        each("lmx_model_queue_wait_seconds", .gauge, "Wait for a place that 95 of the last 100 answers kept below.") {
            figures.times[$0.model.id]?.queue95 ?? 0
        }
        each("lmx_model_memory_bytes", .gauge, "Weights, and the cache at its largest.") { Double($0.model.memoryBytes) }
        each("lmx_kv_cache_bytes", .gauge, "Keys and values that the model may come to keep.") { Double($0.cache.totalBytes) }
        each("lmx_kv_cache_usage_ratio", .gauge, "Share of the cache that running answers have reserved.") {
            $0.cache.totalBytes > 0 ? Double($0.cache.reservedBytes) / Double($0.cache.totalBytes) : 0
        }
        each("lmx_model_active_requests", .gauge, "Answers running.") { Double($0.active) }
        each("lmx_model_queued_requests", .gauge, "Answers waiting.") { Double($0.queued) }
        loads()
    }

    private mutating func loads() {
        let loads = figures.loads.sorted { $0.key < $1.key }
        page.family("lmx_model_load_duration_seconds", .gauge, "The last load.")
        for (model, load) in loads { if let seconds = load.seconds { page.sample("lmx_model_load_duration_seconds", [("model", model)], seconds) } }
        page.family("lmx_model_loads_total", .counter, "Loads by outcome.")
        for (model, load) in loads {
            page.sample("lmx_model_loads_total", [("model", model), ("outcome", "loaded")], Double(load.done))
            page.sample("lmx_model_loads_total", [("model", model), ("outcome", "failed")], Double(load.failed))
        }
        page.family("lmx_model_compatibility_fail_total", .counter, "Loads that failed.")
        for (model, load) in loads { page.sample("lmx_model_compatibility_fail_total", [("model", model)], Double(load.failed)) }
        page.family("lmx_model_evictions_total", .counter, "Models that were unloaded unasked.")
        let evictions = loads.flatMap { load in load.value.evictions.sorted { $0.key < $1.key }.map { (load.key, $0.key, $0.value) } }
        for (model, reason, count) in evictions {
            page.sample("lmx_model_evictions_total", [("model", model), ("reason", reason)], Double(count))
        }
        page.family("lmx_model_readiness_state", .gauge, "1 for the state that the model is in.")
        for (model, current) in states() {
            for state in ["routable", "loading", "quarantined"] {
                page.sample("lmx_model_readiness_state", [("model", model), ("state", state)], state == current ? 1 : 0)
            }
        }
    }

    /// Loaded, loading and failed models, each with its state.
    private func states() -> [(String, String)] {
        let loaded = status.models.map { ($0.model.id, "routable") }
        let loading = status.loading.map { ($0.id, "loading") }
        let known = Set((loaded + loading).map(\.0))
        let failed = status.failures.keys.filter { !known.contains($0) }.sorted().map { ($0, "quarantined") }
        return loaded + loading + failed
    }

    // ---------------------------------------------------------------------------------------------------------- times

    private mutating func times() {
        let families: [(String, KeyPath<Metrics.Times, Histogram>, String)] = [
            ("lmx_request_duration_seconds", \.request, "From the request to the last token."),
            ("lmx_e2e_request_latency_seconds", \.total, "From the request to the last token, in finer steps."),
            ("lmx_time_to_first_token_seconds", \.firstToken, "From the request to the first token."),
            ("lmx_inter_token_latency_seconds", \.gap, "Between two pieces of text."),
            ("lmx_request_queue_time_seconds", \.queue, "From the request to its first step."),
            ("lmx_request_prefill_time_seconds", \.prefill, "From the first step to the first token."),
            ("lmx_request_decode_time_seconds", \.decode, "From the first token to the last."),
        ]
        let models = figures.times.sorted { $0.key < $1.key }
        for (name, field, help) in families {
            page.family(name, .histogram, help)
            for (model, times) in models { page.histogram(name, [("model", model)], times[keyPath: field]) }
        }
    }

    /// The native way and the one for compatibility, side by side.
    private mutating func paths() {
        let paths = ["mlx", "gguf"].map { ($0, figures.paths[$0] ?? Metrics.Path()) }
        let counters: [(String, String, (Metrics.Path) -> Double)] = [
            ("lmx_format_requests_total", "Finished answers by the format of the model.", { Double($0.requests) }),
            ("lmx_format_prefill_tokens_total", "Tokens of prompts that were computed.", { Double($0.promptTokens) }),
            ("lmx_format_prefill_seconds_total", "Time that answers spent on their prompts.", { $0.promptSeconds }),
            ("lmx_format_decode_tokens_total", "Tokens of answers after their first ones.", { Double($0.decodeTokens) }),
            ("lmx_format_decode_seconds_total", "Time that answers spent on them.", { $0.decodeSeconds }),
        ]
        for (name, help, value) in counters {
            page.family(name, .counter, help)
            for (format, path) in paths { page.sample(name, [("format", format)], value(path)) }
        }
        let speeds: [(String, String, KeyPath<Metrics.Path, Double?>)] = [
            ("lmx_format_prefill_tokens_per_second", "Prompts, by all answers so far; NaN before the first.", \.prefillTokensPerSecond),
            ("lmx_format_decode_tokens_per_second", "Answers, by all so far; NaN before the first.", \.decodeTokensPerSecond),
        ]
        for (name, help, value) in speeds {
            page.family(name, .gauge, help)
            for (format, path) in paths { page.sample(name, [("format", format)], path[keyPath: value] ?? .nan) }
        }
    }

    // -------------------------------------------------------------------------------------------------------- process

    private mutating func process() {
        page.family("lmx_build_info", .gauge, "Always 1; the version stands in the label.")
        page.sample("lmx_build_info", [("version", server.version)], 1)
        guard let process = ProcessFigures.now else { return }
        page.single("process_resident_memory_bytes", .gauge, "Memory of this process, mapped files included.", Double(process.residentBytes))
        page.single("process_cpu_seconds_total", .counter, "Processor time.", process.cpuSeconds)
        page.single("process_start_time_seconds", .gauge, "Since 1970.", WallClock.seconds - server.lifecycle.uptime)
    }
}
