import API
import Engine
import Synchronization
import TestSupport
import Testing
import Weights

@Suite struct ModelTests {
    @Test func theModelListHasTheLoadedOnesOnly() async throws {
        try await RunningServer.run(models: ["org/one", "two"], disk: ["three"]) { server in
            let list = try await server.get("/v1/models")
            #expect(list.json["object"]?.string == "list")
            #expect(list.json["data"]?.count == 2)
            #expect(list.json["data"]?[0]?["id"]?.string == "org/one")
            #expect(list.json["data"]?[0]?["object"]?.string == "model")
            #expect(list.json["data"]?[0]?["owned_by"]?.string == "local")
        }
    }

    @Test(arguments: ["org/one", "org%2Fone", "o%72g%2fone"])
    func anIdWithASlashIsFoundHoweverItIsEncoded(_ id: String) async throws {
        try await RunningServer.run(models: ["org/one"]) { server in
            let answer = try await server.get("/v1/models/\(id)")
            #expect(answer.status == 200)
            #expect(answer.json["id"]?.string == "org/one")
        }
    }

    @Test func anUnknownModelIs404InEveryDialect() async throws {
        try await RunningServer.run { server in
            for answer in [
                try await server.get("/v1/models/none"),
                try await server.post("/v1/chat/completions", ChatTests.body(model: "none")),
                try await server.post("/v1/completions", #"{"model":"none","prompt":"x"}"#),
            ] {
                #expect(answer.status == 404)
                #expect(answer.json["error"]?["code"]?.string == "model-not-found")
                #expect(answer.json["error"]?["lmx_code"]?.string == "model_not_found")
                #expect(answer.json["error"]?["type"]?.string == "invalid_request_error")
                #expect(answer.json["error"]?["param"]?.string == "model")
                #expect(answer.json["error"]?["message"]?.string == "The model 'none' does not exist or is not loaded")
                #expect(answer.json["code"]?.string == "not_found")
                #expect(answer.json["detail"] == answer.json["error"]?["message"])
            }
        }
    }

    @Test func withoutAnyModelAChatIs503() async throws {
        try await RunningServer.run(models: []) { server in
            for model in ["tiny", "auto"] {
                let answer = try await server.post("/v1/chat/completions", ChatTests.body(model: model))
                #expect(answer.status == 503)
                #expect(answer.json["error"]?["code"]?.string == "no-model-loaded")
                #expect(answer.json["error"]?["message"]?.string?.contains("No model loaded") == true)
                #expect(answer.headers["retry-after"] != nil)
            }
        }
    }

    @Test func adminModelsListsTheDiskAndDescribesTheLoaded() async throws {
        try await RunningServer.run(models: ["one"], disk: ["two"]) { server in
            let json = try await server.get("/admin/models").json
            #expect(json["count"]?.int == 1)
            #expect(json["models"]?.count == 2)
            #expect(json["models"]?[0]?["loaded"]?.bool == true)
            #expect(json["models"]?[1] == .object([
                "id": .string("two"), "path": .string("/models/two"), "loaded": .bool(false), "vram_gb": .null, "vram_bytes": .null,
                "format": .string("gguf"), "quantization": .string("Q4_1"), "size_bytes": .int(1 << 20),
                "state": .string("absent"), "progress": .null, "reason": .null,
            ]))
            let loaded = json["loaded"]?[0]
            for key in [
                "id", "model_id", "name", "loaded", "backend", "backend_type", "format", "quantization", "memory_gb", "vram_gb",
                "memory_used_gb", "loaded_at", "use_batching", "request_count", "last_used_at", "context_length", "performance",
                "performance_overrides", "speculative", "readiness", "keep_alive_sec", "stats",
            ] { #expect(loaded?[key] != nil, "\(key)") }
            for key in ["total_requests", "total_tokens_generated", "avg_tokens_per_second", "last_used_at"] {
                #expect(loaded?["stats"]?[key] != nil, "\(key)")
            }
        }
    }

    @Test(arguments: ["model_id", "model", "model_path"])
    func aModelIsLoadedByAnyOfItsNamesAndIsThenUnloaded(_ field: String) async throws {
        try await RunningServer.run(models: [], disk: ["one"]) { server in
            let value = field == "model_path" ? "/models/one" : "one"
            let load = try await server.post("/admin/models/load", #"{"\#(field)":"\#(value)","auto_download":true}"#)
            #expect(load.status == 200)
            #expect(load.json["success"]?.bool == true)
            #expect(load.json["status"]?.string == "loaded")
            #expect(load.json["model_id"]?.string == "one")
            #expect(load.json["model"]?.string == "one")
            for key in ["memory_after_load_gb", "time_to_load_ms", "load_time_ms", "vram_gb", "format", "backend"] {
                #expect(load.json[key] != nil, "\(key)")
            }
            #expect(try await server.get("/readyz").status == 200)
            let again = try await server.post("/admin/models/load", #"{"model_id":"one"}"#)
            #expect(again.status == 200)
            #expect(again.json["time_to_load_ms"] == .null)

            let unload = try await server.send("POST", "/admin/models/unload")
            #expect(unload.status == 200)
            #expect(unload.json["model_id"]?.string == "one")
            #expect(unload.json["memory_freed_gb"] != nil && unload.json["freed_vram_gb"] != nil)
            #expect(try await server.get("/readyz").status == 503)
            #expect(server.lines.all.contains("INFO:     Loading model: one"))
            #expect(server.lines.all.contains { $0.hasPrefix("INFO:     Model loaded: one (0.0 GB, ") })
            #expect(server.lines.all.contains("INFO:     Model unloaded, freed 0.0 GB"))
        }
    }

    @Test func unloadingWhatIsNotThereIsRefused() async throws {
        try await RunningServer.run { server in
            let unknown = try await server.post("/admin/models/unload", #"{"model_id":"none"}"#)
            #expect(unknown.status == 404)
            #expect(unknown.json["error"]?["param"]?.string == "model_id")
            #expect(try await server.send("POST", "/admin/models/unload").status == 200)
            #expect(try await server.send("POST", "/admin/models/unload").status == 503)
        }
    }

    @Test func aPathOutsideTheModelFoldersIsAsUnknownAsAnyOther() async throws {
        try await RunningServer.run { server in
            let outside = try await server.post("/admin/models/load", #"{"model_path":"/etc/passwd"}"#)
            let absent = try await server.post("/admin/models/load", #"{"model_path":"/nothing/here"}"#)
            #expect(outside.status == 404 && absent.status == 404)
            #expect(outside.json["error"]?["code"] == absent.json["error"]?["code"])
            let download = try await server.post("/admin/models/load", #"{"model_id":"org/none","auto_download":true}"#)
            #expect(download.status == 403)
            #expect(download.json["error"]?["code"]?.string == "downloads_disabled")
        }
    }

    @Test(arguments: [
        (ModelError.Kind.truncated, 409, "model_probe_failed", "conflict"),
        (.unsupported, 422, "model_unsupported_arch", "invalid_request"),
        (.insufficientMemory, 507, "insufficient_memory", "out_of_memory"),
    ])
    func aModelThatCannotBeLoadedSaysWhy(_ kind: ModelError.Kind, _ status: Int, _ code: String, _ clientCode: String) async throws {
        try await RunningServer.run(
            models: [], disk: ["bad"], loader: { entry, _ in throw ModelError(kind, at: "\(entry.id).gguf", "has a reason") }
        ) { server in
            let answer = try await server.post("/admin/models/load", #"{"model_id":"bad"}"#)
            #expect(answer.status == status)
            #expect(answer.json["error"]?["code"]?.string == code)
            #expect(answer.json["code"]?.string == clientCode)
            #expect(answer.json["error"]?["message"]?.string == "bad.gguf: has a reason")
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func aLoadGoesOnWithoutItsClientAndIsDoneOnce() async throws {
        let loads = Counter()
        let gate = Gate()
        try await RunningServer.run(
            models: [], disk: ["slow"],
            loader: { entry, _ in
                loads.add()
                gate.wait()
                return try Script().loaded(entry.id)
            }
        ) { server in
            let socket = try await server.open("/admin/models/load", #"{"model_id":"slow"}"#, awaiting: 0)
            #expect(try await StreamTests.eventually { loads.value == 1 })
            closeSocket(socket)
            async let joined = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            try await Task.sleep(for: .milliseconds(100))
            gate.open()
            #expect(try await joined.status == 200)
            #expect(loads.value == 1)
            #expect(try await server.get("/readyz").status == 200)
        }
    }

    @Test func anExclusiveServerUnloadsTheOldModelFirst() async throws {
        var configuration = Configuration()
        configuration.exclusive = true
        try await RunningServer.run(models: ["old"], disk: ["new"], configuration: configuration) { server in
            let answer = try await server.post("/admin/models/load", #"{"model_id":"new"}"#)
            #expect(answer.status == 200)
            #expect(try await server.get("/v1/models").json["data"]?.count == 1)
        }
    }
}
