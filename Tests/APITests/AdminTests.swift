import API
import Engine
import Foundation
import TestSupport
import Testing
import Weights

@Suite struct AdminTests {
    /// Paths of members that some client dereferences, `a.b` for `b` of `a`, `[]` for the first element.
    static let fields: [(String, [String])] = [
        ("/admin/status", [
            "version", "uptime_seconds", "loaded_models", "models_loaded", "models", "in_flight_requests", "max_concurrent_requests",
            "memory.total_gb", "memory.used_gb", "memory.available_gb", "memory.usage_percent", "memory.used_percent",
            "memory.threshold_percent",
        ]),
        ("/admin/memory", [
            "total_unified_memory_gb", "total_gb", "used_gb", "available_gb", "threshold_percent", "usage_percent", "used_percent",
            "memory_percent", "models.tiny.memory_gb", "models.tiny.loaded", "per_model.[].model_id", "per_model.[].memory_gb",
            "per_model.[].backend",
        ]),
        ("/admin/device", [
            "hardware.hostname", "hardware.chip_name", "hardware.architecture", "hardware.memory_gb", "hardware.max_working_set_gb",
            "hardware.cpu_cores", "hardware.metal_available", "hardware.gpu_family", "identity.name", "identity.purpose", "identity.role",
            "chip", "memory_gb", "hostname", "name", "purpose", "role", "os_version",
        ]),
        ("/admin/health", [
            "status", "version", "reason", "memory_usage_percent", "metal", "helpers", "models_loaded", "in_flight_requests",
        ]),
        ("/admin/diagnostics", [
            "timestamp", "verdict", "reason", "health_verdict", "uptime_seconds", "memory.used_percent", "memory.used_gb",
            "memory.total_gb", "memory.threshold_percent", "metrics.total_requests", "metrics.avg_tokens_per_second",
            "metrics.error_rate", "models.[].model_id", "models.[].id", "models.[].backend", "models.[].memory_gb", "models.[].requests",
            "models.[].readiness", "models.[].loaded_at", "models.[].requests_total", "models.[].backend_type", "recent_errors",
            "system.memory_percent", "system.memory_gb_used", "system.memory_gb_total", "system.uptime_seconds",
            "system.crash_loop_detected", "system_memory", "inference.total_requests", "inference.active_requests",
            "inference.avg_latency_ms", "inference.error_rate_pct", "inference.tokens_generated", "inference.total_tokens_processed",
            "inference_stats", "agents.active_runs", "models_summary.loaded_count", "models_summary.quarantined_count",
        ]),
        ("/admin/stack", ["roles.auto.preferences", "roles.auto.resolved_model", "roles.auto.loaded", "helper_nodes", "loaded_models",
            "default_model", "backends", "stack_presets"]),
        ("/admin/presets", ["presets", "count", "total"]),
        ("/admin/models/available", ["[].repo_id", "[].local_path", "[].size_bytes", "[].downloaded_at"]),
        ("/admin/models/tiny/performance", [
            "model_id", "backend_type", "loaded_at", "request_count", "last_used_at", "memory_gb", "context_length", "use_batching",
            "performance", "speculative", "readiness", "global_defaults.kv_bits", "global_defaults.prefix_cache_enabled",
            "global_defaults.scheduler", "global_defaults.max_concurrent_requests",
        ]),
        ("/admin/models/compatibility?include_summary=true", ["total", "rows", "summary"]),
        ("/v1/discovery", [
            "schema_version", "instance_id", "continuity.event_resume_supported", "service", "version", "security_profile", "ready",
            "loaded_models", "loaded_model_count", "in_flight_requests", "auth.admin_key_required", "auth.inference_key_required",
            "auth.supabase_jwt_enabled", "endpoints.preferred_base_url", "endpoints.base_urls", "endpoints.openai_base_url",
            "endpoints.admin_base_url", "endpoints.websocket_url", "client_probe_order", "hardware_summary.chip",
            "hardware_summary.memory_gb", "hardware_summary.metal",
        ]),
    ]

    @Test(arguments: fields)
    func everyFieldThatAClientReadsIsThere(_ path: String, _ fields: [String]) async throws {
        try await RunningServer.run { server in
            let answer = try await server.get(path)
            #expect(answer.status == 200)
            for field in fields {
                var place: JSONValue? = answer.json
                for part in field.split(separator: ".") { place = part == "[]" ? place?[0] : place?[String(part)] }
                #expect(place != nil, "\(field)")
            }
        }
    }

    @Test func gibibytesHaveExactBytesBesideThem() async throws {
        try await RunningServer.run { server in
            let memory = try await server.get("/admin/memory").json
            let bytes = try #require(memory["total_bytes"]?.int)
            #expect(memory["total_gb"]?.number == Double(bytes) / 1_073_741_824)
            let model = try #require(memory["models"]?["tiny"])
            #expect(model["memory_bytes"]?.int == (model["weights_bytes"]?.int ?? 0) + (model["cache_bytes"]?.int ?? 0))
            #expect(model["weights_bytes"]?.int == 1 << 20)
        }
    }

    // MARK: Deleting

    static func deleting(_ remove: @escaping @Sendable (CatalogueEntry) throws -> Int) -> Closures {
        var closures = Closures()
        closures.remove = remove
        return closures
    }

    @Test func aModelThatIsNotInUseIsDeleted() async throws {
        let removed = Counter()
        let closures = Self.deleting { entry in
            #expect(entry.id == "org/two")
            removed.add()
            return 4096
        }
        try await RunningServer.run(models: ["one"], disk: ["org/two"], closures: closures) { server in
            for path in ["org%2Ftwo", "org/two"] {
                let answer = try await server.send("DELETE", "/admin/models/\(path)")
                #expect(answer.status == 200)
                #expect(answer.json["success"]?.bool == true && answer.json["model_id"]?.string == "org/two")
                #expect(answer.json["freed_bytes"]?.int == 4096)
            }
            #expect(removed.value == 2)
            #expect(server.lines.all.contains("INFO:     Model deleted: org/two"))
        }
    }

    @Test func aModelInUseIsNotDeleted() async throws {
        let gate = Gate()
        try await RunningServer.run(
            models: ["one"], disk: ["slow"], closures: Self.deleting { _ in 0 },
            loader: { entry, _ in
                gate.wait()
                return try Script().loaded(entry.id)
            }
        ) { server in
            let loaded = try await server.send("DELETE", "/admin/models/one")
            #expect(loaded.status == 409)
            #expect(loaded.json["error"]?["code"]?.string == "model_in_use" && loaded.json["code"]?.string == "conflict")
            #expect(loaded.json["error"]?["param"]?.string == "model_id")
            async let load = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            #expect(try await StreamTests.eventually { server.engine.status().loading.count == 1 })
            #expect(try await server.send("DELETE", "/admin/models/slow").status == 409)
            gate.open()
            #expect(try await load.status == 200)
        }
    }

    @Test func onlyWhatTheFoldersListIsDeleted() async throws {
        let removed = Counter()
        let closures = Self.deleting { _ in
            removed.add()
            return 0
        }
        try await RunningServer.run(models: [], disk: ["one"], closures: closures) { server async throws in
            #expect(try await server.send("DELETE", "/admin/models/none").status == 404)
            #expect(try await server.send("DELETE", "/admin/models/%2Fmodels%2Fone").status == 400)
            #expect(try await server.send("DELETE", "/admin/models/..%2Fone").status == 400)
            #expect(removed.value == 0)
        }
        try await RunningServer.run(models: [], disk: ["one"]) { server in
            let answer = try await server.send("DELETE", "/admin/models/one")
            #expect(answer.status == 403 && answer.json["error"]?["code"]?.string == "delete_disabled")
        }
    }

    // MARK: States

    @Test func theListOfModelsSaysTheStateOfEach() async throws {
        let gate = Gate()
        try await RunningServer.run(
            models: ["ready"], disk: ["absent", "slow", "bad"],
            loader: { entry, progress in
                if entry.id == "bad" { throw ModelError(.truncated, at: "bad.gguf", "ends early") }
                try progress(0.5)
                gate.wait()
                return try Script().loaded(entry.id)
            }
        ) { server in
            #expect(try await server.post("/admin/models/load", #"{"model_id":"bad"}"#).status == 409)
            async let load = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            #expect(try await StreamTests.eventually { server.engine.status().loading.first?.progress == 0.5 })
            let list = try await server.get("/admin/models").json["models"]
            let states = (0..<4).map { list?[$0]?["state"]?.string }
            #expect(states == ["ready", "absent", "loading", "failed"])
            #expect(list?[2]?["progress"]?.number == 0.5)
            #expect(list?[3]?["reason"]?.string == "bad.gguf: ends early")
            let samples = try MetricsTests.samples(try await server.get("/metrics").text)
            #expect(samples["lmx_model_readiness_state{model=\"ready\",state=\"routable\"}"] == 1)
            #expect(samples["lmx_model_readiness_state{model=\"slow\",state=\"loading\"}"] == 1)
            #expect(samples["lmx_model_readiness_state{model=\"bad\",state=\"quarantined\"}"] == 1)
            gate.open()
            #expect(try await load.status == 200)
        }
    }

    @Test func loadsAreRememberedWithTheirOutcome() async throws {
        try await RunningServer.run(
            models: [], disk: ["good", "bad"],
            loader: { entry, _ in
                if entry.id == "bad" { throw ModelError(.unsupported, at: "bad.gguf", "is of a kind unknown") }
                return try Script().loaded(entry.id)
            }
        ) { server in
            for id in ["good", "bad", "bad"] { _ = try await server.post("/admin/models/load", #"{"model_id":"\#(id)"}"#) }
            let all = try await server.get("/admin/models/compatibility?include_summary=1").json
            #expect(all["total"]?.int == 3)
            #expect(all["rows"]?[0]?["outcome"]?.string == "fail" && all["rows"]?[2]?["outcome"]?.string == "pass")
            #expect(all["summary"]?["bad"]?["fail"]?.int == 2)
            let some = try await server.get("/admin/models/compatibility?model_id=bad&outcome=fail&limit=1").json
            #expect(some["total"]?.int == 2 && some["rows"]?.count == 1 && some["summary"] == .null)
            #expect(try await server.get("/admin/models/compatibility?limit=many").status == 400)
            #expect(try await server.get("/admin/models/compatibility?since_ts=1e400").status == 400)
            let errors = try await server.get("/admin/diagnostics").json["recent_errors"]
            #expect(errors?.count == 1)  // the same twice is one entry
            #expect(errors?[0]?["category"]?.string == "model_load_failed" && errors?[0]?["model_id"]?.string == "bad")
        }
    }

    @Test func aProbeLooksIntoTheFileWithoutLoadingIt() async throws {
        var closures = Closures()
        closures.probe = { entry in if entry.id == "bad" { throw ModelError(.truncated, at: "bad.gguf", "ends early") } }
        try await RunningServer.run(models: ["one"], disk: ["good", "bad"], closures: closures) { server async throws in
            func outcome(_ id: String) async throws -> (String?, String?) {
                let json = try await server.post("/admin/models/probe", #"{"model_id":"\#(id)","timeout_sec":90}"#).json
                return (json["candidates"]?[0]?["outcome"]?.string, json["recommended_backend"]?.string)
            }
            #expect(try await outcome("one") == ("pass", "gguf"))
            #expect(try await outcome("good") == ("pass", "gguf"))
            #expect(try await outcome("bad") == ("fail", nil))
            #expect(try await server.post("/admin/models/probe", #"{"model_id":"none"}"#).status == 404)
            #expect(server.engine.models.count == 1)
        }
    }
}
