import Foundation
import TestSupport
import Testing
import Weights

/// Every call of the command-line client and the daemon, in the order of a session, with the fields that they read.
@Suite struct DaemonContractTests {
    static let chat = #""messages":[{"role":"user","content":"the quick brown fox"}],"max_tokens":6,"temperature":0"#

    static let beforeAnyModel: [ContractCall] = [
        ContractCall("GET /healthz", "status = ok", "version: string"),
        ContractCall(
            "GET /readyz", status: 503, "reason: string", "error = no-model-loaded", "ready = false", "models_loaded = 0",
            "status = unavailable"),
        ContractCall("GET /.well-known/opta-lmx").with(discovery),
        ContractCall("GET /v1/discovery").with(discovery),
        ContractCall("GET /v1/models", "object = list", "data: list"),
        ContractCall("GET /admin/models", "loaded: list", "models[].id: string", "models[].loaded = false", "count = 0"),
        ContractCall(
            "GET /admin/models/available", "[].repo_id: string", "[].local_path: string", "[].size_bytes: number",
            "[].downloaded_at: number"),
        ContractCall("GET /admin/models/downloads", "downloads: list"),
        ContractCall("GET /admin/models/downloads?include_inactive=true", "downloads: list"),
        ContractCall("GET /admin/presets", "presets: list", "count: number", "total: number"),
        ContractCall(
            "POST /v1/chat/completions", body: #"{"model":"Q4_1",\#(chat)}"#, status: 503, "error.code = no-model-loaded", "error.message: string",
            "error.type: string", "error.param: any", "code: string", "detail: string"),
        ContractCall("POST /admin/models/probe", body: #"{"model_id":"Q4_1","timeout_sec":90}"#).with([
            "model_id = Q4_1", "recommended_backend: string", "candidates[].backend: string", "candidates[].outcome: string",
            "candidates[].reason: string?",
        ]),
    ]

    static let discovery: [Expectation] = [
        "schema_version: string", "instance_id: string", "service = opta-lmx", "version: string", "security_profile: string",
        "continuity.event_resume_supported = true", "ready: boolean", "loaded_models: list", "loaded_model_count: number",
        "in_flight_requests: number", "auth.admin_key_required: boolean", "auth.inference_key_required: boolean",
        "auth.supabase_jwt_enabled = false", "endpoints.preferred_base_url: string", "endpoints.base_urls[]: string",
        "endpoints.openai_base_url: string", "endpoints.admin_base_url: string", "endpoints.websocket_url: string",
        "client_probe_order[]: string", "hardware_summary.chip: string", "hardware_summary.memory_gb: number",
        "hardware_summary.metal = false",
    ]

    static let load = #"{"model_id":"Q4_1","auto_download":false,"backend":"gguf","keep_alive_sec":0}"#

    static let withAModel: [ContractCall] = [
        ContractCall(
            "POST /admin/models/load", body: load, "status = loaded", "success = true", "model_id = Q4_1", "memory_after_load_gb: number",
            "time_to_load_ms: number"),
        // A client that heard nothing asks again.
        ContractCall("POST /admin/models/load", body: load, "status = loaded", "success = true", "model_id = Q4_1", "time_to_load_ms: number?"),
        ContractCall("POST /admin/models/load", body: #"{"model_id":"nobody"}"#, status: 404, "code = not_found", "error.code = model-not-found"),
        ContractCall("POST /admin/models/load", body: #"{}"#, status: 400, "code = invalid_request", "error.code = invalid-request"),
        ContractCall(
            "GET /readyz", "status = ready", "ready = true", "models_loaded = 1", "model = Q4_1", "vram_gb: number", "version: string"),
        ContractCall("GET /v1/models", "data[].id = Q4_1", "data[].object = model", "data[].created: number", "data[].owned_by = local"),
        ContractCall("GET /v1/models/Q4_1", "id = Q4_1", "object = model"),
        ContractCall("GET /admin/models", "count = 1").with([
            "loaded[].id = Q4_1", "loaded[].loaded = true", "loaded[].memory_gb: number", "loaded[].context_length: number",
            "loaded[].loaded_at: number", "loaded[].request_count = 0", "loaded[].use_batching: boolean", "loaded[].last_used_at: number?",
            "loaded[].performance: object", "loaded[].speculative.requested: boolean", "loaded[].speculative.active: boolean",
            "loaded[].speculative.reason: string?", "loaded[].speculative.draft_model: string?", "loaded[].speculative.num_tokens: number?",
            "loaded[].speculative.telemetry: any", "loaded[].readiness.state = routable", "loaded[].readiness.reason: string?",
            "loaded[].readiness.crash_count = 0",
        ]),
        ContractCall("GET /admin/status").with([
            "version: string", "uptime_seconds: number", "loaded_models = 1", "models[] = Q4_1", "memory.used_gb: number",
            "memory.total_gb: number", "memory.available_gb: number", "memory.threshold_percent: number", "memory.usage_percent: number",
            "in_flight_requests: number", "max_concurrent_requests: number",
        ]),
        ContractCall("GET /admin/memory").with([
            "total_unified_memory_gb: number", "used_gb: number", "available_gb: number", "threshold_percent: number",
            "models{}.memory_gb: number", "models{}.loaded = true", "models.Q4_1.loaded = true",
        ]),
        ContractCall("GET /admin/device").with([
            "hardware.hostname: string", "hardware.chip_name: string", "hardware.architecture: string", "hardware.memory_gb: number",
            "hardware.max_working_set_gb: number", "hardware.cpu_cores: number", "hardware.metal_available = false",
            "hardware.gpu_family: string?", "identity.name: string", "identity.purpose: string?", "identity.role: string",
        ]),
        ContractCall("GET /admin/health").with([
            "status = ok", "version: string", "reason: string?", "memory_usage_percent: number", "metal: any", "helpers: object",
            "models_loaded = 1", "in_flight_requests: number",
        ]),
        ContractCall("GET /admin/stack").with([
            "roles: object", "helper_nodes: object", "loaded_models[] = Q4_1", "default_model: string?", "backends: object",
            "stack_presets: object",
        ]),
        ContractCall("GET /admin/models/Q4_1/performance").with([
            "model_id = Q4_1", "backend_type = gguf", "loaded_at: number", "request_count: number", "last_used_at: number?",
            "memory_gb: number", "context_length: number", "use_batching: boolean", "performance: object", "speculative: object",
            "readiness.state: string", "global_defaults.prefix_cache_enabled: boolean", "global_defaults.kv_bits: any",
            "global_defaults.stream_interval: number", "global_defaults.max_concurrent_requests: number",
            "global_defaults.warmup_on_load: boolean", "global_defaults.adaptive: object", "global_defaults.scheduler: object",
        ]),
        ContractCall("GET /admin/models/compatibility?limit=5&include_summary=true").with([
            "total: number", "rows[].ts: number", "rows[].model_id = Q4_1", "rows[].backend: string", "rows[].backend_version: string",
            "rows[].outcome = pass", "rows[].reason: string?", "rows[].metadata: object", "summary.Q4_1.total = 1",
            "summary.Q4_1.pass = 1", "summary.Q4_1.fail = 0", "summary.Q4_1.latest_ts: number",
        ]),
        ContractCall(
            "POST /admin/benchmark", body: #"{"model_id":"Q4_1","prompt":"the quick brown fox","max_tokens":16,"temperature":0.7,"runs":2}"#).with([
                "model_id = Q4_1", "backend_type: string", "prompt: string", "max_tokens = 16", "runs = 2", "results[].run: number",
                "results[].tokens_generated: number", "results[].time_to_first_token_ms: number", "results[].total_time_ms: number",
                "results[].tokens_per_second: number?", "results[].speculative: any", "avg_tokens_per_second: number?",
                "avg_time_to_first_token_ms: number", "avg_total_time_ms: number", "speculative: any",
            ]),
        ContractCall("GET /admin/metrics/json").with([
            "total_requests: number", "total_errors: number", "total_stream_requests: number", "total_prompt_tokens: number",
            "total_completion_tokens: number", "requests.total: number", "requests.errors: number", "requests.stream_total: number",
            "requests.throughput_1m: number", "tokens.prompt_total: number", "tokens.completion_total: number",
            "speculative.accepted_tokens: number", "speculative.rejected_tokens: number", "speculative.ignored_tokens: number",
            "speculative.acceptance_ratio: number?", "per_model.Q4_1.requests: number", "per_model.Q4_1.errors: number",
            "per_model.Q4_1.completion_tokens: number", "uptime_seconds: number", "per_client: object", "schema_version = 2026-03-02",
        ]),
        ContractCall("GET /admin/quantize", "jobs: list", "count = 0"),
        ContractCall("GET /admin/quantize/nobody", "error = Job not found", "job_id = nobody"),
        ContractCall("POST /admin/config/reload", "success = true", "updated: list"),
        ContractCall("DELETE /admin/models/Q4_1", status: 409, "code = conflict", "error.code = model_in_use"),
    ]

    static let atTheEnd: [ContractCall] = [
        ContractCall("POST /admin/models/unload", body: #"{"model_id":"Q4_1"}"#, "success = true", "model_id = Q4_1", "memory_freed_gb: number"),
        ContractCall("POST /admin/models/unload", body: #"{"model_id":"Q4_1"}"#, status: 404, "code = not_found"),
        ContractCall("GET /admin/models", "loaded: list", "count = 0"),
        ContractCall("DELETE /admin/models/nobody", status: 404, "code = not_found"),
    ]

    @Test func everyCallOfASessionFindsItsFields() throws {
        let contract = try ContractServer(headers: ["X-Admin-Key": "unused", "Authorization": "Bearer unused", "X-Api-Key": "unused"])
        defer { contract.server.stop() }
        try contract.send(Self.beforeAnyModel)
        try contract.send(Self.withAModel)
        #expect(try contract.client.get("/admin/metrics").text.contains("lmx_requests_total"))
        try contract.send(Self.atTheEnd)
    }

    @Test func aTurnGoesOverTheSocketWithTheFieldsThatTheDaemonSends() throws {
        let contract = try ContractServer([Corpus.testdata + "/tiny/llama/hf"], models: [])
        defer { contract.server.stop() }
        while try contract.client.get("/readyz").status != 200 { usleep(10_000) }
        let address = try JSONValue.parse(contract.client.get("/v1/discovery").body)["endpoints"]?["websocket_url"]
        guard case .string(let url)? = address, url.hasPrefix("ws://"), url.hasSuffix(":\(contract.client.port)/v1/chat/stream") else {
            Issue.record("no address of the socket: \(String(describing: address))")
            return
        }
        let socket = try SocketClient(contract.client, headers: ["Authorization": "Bearer unused", "X-Admin-Key": "unused"])
        #expect(socket.status == 101)
        try socket.send(
            #"{"type":"chat.request","stream":true,"model":"hf",\#(Self.chat),"top_p":1,"stop":null,"tools":null,"tool_choice":null,"#
                + #""response_format":null,"frequency_penalty":0,"presence_penalty":0}"#)
        var text = ""
        while let frame = try socket.next() {
            let message = try JSONValue.parse(frame.payload)
            if case .string(let piece)? = message["content"] { text += piece }
            guard message["type"] != .string("chat.error") else {
                Issue.record("\(frame.text)")
                return
            }
            guard message["type"] == .string("chat.done") else { continue }
            let expected: [Expectation] = [
                "request_id: string", "model = hf", "finish_reason = length", "usage.prompt_tokens: number", "usage.completion_tokens = 6",
                "usage.total_tokens: number",
            ]
            #expect(expected.compactMap { $0.complaint(about: message) } == [])
            break
        }
        let whole = try contract.send(ContractCall("POST /v1/chat/completions", body: #"{"model":"hf",\#(Self.chat)}"#))
        guard case .array(let choices)? = try JSONValue.parse(whole.body)["choices"] else { return }
        #expect(choices.first?["message"]?["content"] == .string(text), "over the socket another answer than over HTTP")
    }

    @Test func keysAreAskedForAndRefusalsHaveTheClassThatTheClientBranchesOn() throws {
        let folder = TemporaryFolder()
        let keys = ["--admin-key-file", folder.write("admin".utf8, to: "a"), "--api-key-file", folder.write("client".utf8, to: "c")]
        let contract = try ContractServer(keys, headers: ["X-Api-Key": "wrong"])
        defer { contract.server.stop() }
        try contract.send([
            ContractCall("GET /healthz", "status = ok"),
            ContractCall("GET /v1/discovery", "auth.admin_key_required = true", "auth.inference_key_required = true"),
            ContractCall("GET /v1/models", status: 401, "detail = Invalid or missing API key", "code = unauthorized", "error.code: string"),
            ContractCall("GET /admin/models", status: 403, "detail = Invalid or missing admin key", "code = unauthorized"),
            ContractCall("GET /admin/nothing", status: 404, "code = not_found", "error.message: string", "detail: string"),
        ])
        for headers in [["X-Admin-Key": "admin"], ["Authorization": "Bearer admin"]] {
            #expect(try contract.client.get("/admin/models", headers: headers).status == 200)
            #expect(try contract.client.get("/v1/models", headers: headers).status == 200)
        }
        for headers in [["X-Api-Key": "client"], ["Authorization": "Bearer client"]] {
            #expect(try contract.client.get("/v1/models", headers: headers).status == 200)
            #expect(try contract.client.get("/admin/models", headers: headers).status == 403)
        }
        #expect(try SocketClient(contract.client).status == 401)
        #expect(try SocketClient(contract.client, headers: ["Authorization": "Bearer client"]).status == 101)
    }

    @Test func aSocketIsToldWhenTheServerEnds() throws {
        let contract = try ContractServer()
        let socket = try SocketClient(contract.client)
        contract.server.process.terminate()
        #expect(try socket.next()?.code == 1001)
        #expect(try socket.next() == nil)
        contract.server.process.waitUntilExit()
        #expect(contract.server.process.terminationStatus == 0)
    }
}
