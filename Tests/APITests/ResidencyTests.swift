import API
import Engine
import TestSupport
import Testing
import Weights

/// Which models are in memory, as clients see it: waiting for loads, several or one, names, time-outs, room for others.
@Suite struct ResidencyTests {
    private static func gated(_ gate: Gate) -> ModelLoader {
        { entry, _ in
            gate.wait()
            return try Script().loaded(entry.id)
        }
    }

    @Test(arguments: ["slow", "auto"])
    func aRequestWaitsWhileItsModelLoads(_ name: String) async throws {
        let gate = Gate()
        try await RunningServer.run(models: [], disk: ["slow"], loader: Self.gated(gate)) { server in
            async let load = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            #expect(try await StreamTests.eventually { server.engine.state(of: "slow") == .loading(0) })
            async let chat = server.post("/v1/chat/completions", ChatTests.body(model: name))
            #expect(try await StreamTests.eventually { server.engine.waitingRequests(for: "slow") == 1 })
            #expect(try await server.get("/readyz").status == 503)
            gate.open()
            let answer = try await chat
            #expect(answer.status == 200 && answer.json["model"]?.string == "slow")
            #expect(try await load.status == 200)
        }
    }

    @Test func aClientThatLeavesWhileItsModelLoadsWaitsNoLonger() async throws {
        let gate = Gate()
        try await RunningServer.run(models: [], disk: ["slow"], loader: Self.gated(gate)) { server in
            async let load = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            #expect(try await StreamTests.eventually { server.engine.state(of: "slow") == .loading(0) })
            let socket = try await server.open("/v1/chat/completions", ChatTests.body(model: "slow"), awaiting: 0)
            #expect(try await StreamTests.eventually { server.engine.waitingRequests(for: "slow") == 1 })
            closeSocket(socket)
            #expect(try await StreamTests.eventually { server.engine.waitingRequests(for: "slow") == 0 })
            gate.open()
            #expect(try await load.status == 200)
        }
    }

    @Test func anUnloadEndsALoad() async throws {
        let loader: ModelLoader = { entry, progress in
            while true { try progress(0.5) }
        }
        try await RunningServer.run(models: [], disk: ["slow"], loader: loader) { server in
            async let load = server.post("/admin/models/load", #"{"model_id":"slow"}"#)
            #expect(try await StreamTests.eventually { server.engine.state(of: "slow") == .loading(0.5) })
            #expect(try await server.send("DELETE", "/admin/models/slow").status != 200)
            let unload = try await server.send("POST", "/admin/models/unload")
            #expect(unload.status == 200 && unload.json["model_id"]?.string == "slow")
            let answer = try await load
            #expect(answer.status == 409 && answer.json["error"]?["code"]?.string == "model_load_cancelled")
            let models = try await server.get("/admin/models").json["models"]
            #expect(models?[0]?["state"]?.string == "absent")
        }
    }

    @Test func aNameMeansTheFirstOfItsModelsThatIsLoaded() async throws {
        var configuration = Configuration()
        configuration.aliases = ["fast": ["gone", "two"], "none": ["gone"]]
        configuration.defaultModel = "one"
        try await RunningServer.run(models: ["one", "two"], configuration: configuration) { server in
            for (name, id) in [("fast", "two"), ("auto", "one"), ("default", "one"), ("two", "two")] {
                let answer = try await server.post("/v1/chat/completions", ChatTests.body(model: name))
                #expect(answer.status == 200 && answer.json["model"]?.string == id, "\(name)")
            }
            #expect(try await server.post("/v1/chat/completions", ChatTests.body(model: "none")).status == 404)
            let roles = try await server.get("/admin/stack").json["roles"]
            #expect(roles?["fast"]?["resolved_model"]?.string == "two" && roles?["auto"]?["resolved_model"]?.string == "one")
            #expect(roles?["none"]?["resolved_model"] == .null && roles?["none"]?["loaded"]?.bool == false)

            #expect(try await server.post("/admin/models/unload", #"{"model_id":"one"}"#).status == 200)
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(model: "auto"))
            #expect(answer.json["model"]?.string == "two", "the one loaded last, where the configured one is not there")
        }
    }

    @Test func anExclusiveServerHoldsOneModelHoweverManyAreAskedForAtOnce() async throws {
        var configuration = Configuration()
        configuration.exclusive = true
        try await RunningServer.run(models: [], disk: ["a", "b", "c"], configuration: configuration) { server in
            let codes = try await withThrowingTaskGroup(of: Int.self) { group in
                for id in ["a", "b", "c"] { group.addTask { try await server.post("/admin/models/load", #"{"model_id":"\#(id)"}"#).status } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes == [200, 200, 200])
            #expect(server.engine.models.count == 1)
            #expect(try await server.get("/metrics").text.contains(#"reason="replaced"} 1"#))
        }
    }

    @Test func aModelThatNobodyUsesGoesAfterItsTimeAndOneInUseDoesNot() async throws {
        var configuration = EventTests.quick
        configuration.idleTimeout = .milliseconds(300)
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        try await RunningServer.run(script, models: ["idle", "busy"], disk: ["kept"], configuration: configuration) { server in
            let reader = try await server.events()
            #expect(try await server.post("/admin/models/load", #"{"model_id":"kept","keep_alive_sec":0}"#).status == 200)
            async let answer = server.post("/v1/chat/completions", ChatTests.body(#""max_tokens":200"#, model: "busy"))
            let first = try await reader.collect { $0.event == "model_unloaded" }
            #expect(first.last?.data["model_id"]?.string == "idle" && first.last?.data["reason"]?.string == "ttl")
            #expect(server.engine.models.map(\.id).sorted() == ["busy", "kept"])
            #expect(try await answer.json["usage"]?["completion_tokens"]?.int == 200)
            let second = try await reader.collect { $0.event == "model_unloaded" }
            #expect(second.last?.data["model_id"]?.string == "busy")
            let loaded = try await server.get("/admin/models").json["loaded"]
            #expect(loaded?.count == 1 && loaded?[0]?["keep_alive_sec"]?.number == 0)
        }
    }

    @Test(arguments: [true, false])
    func aLoadThatDoesNotFitUnloadsIdleModelsAndIsRefusedWithNumbers(_ evicts: Bool) async throws {
        var configuration = Configuration()
        configuration.evicts = evicts
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        let opened = Counter()
        var closures = Closures()
        closures.forecast = { _ in MemoryNeeds(weightBytes: 1 << 60) }
        let loader: ModelLoader = { entry, _ in
            opened.add()
            return try Script().loaded(entry.id)
        }
        try await RunningServer.run(
            script, models: ["idle", "busy"], disk: ["huge"], configuration: configuration, closures: closures, loader: loader
        ) { server in
            async let stream = server.post("/v1/chat/completions", ChatTests.body(#""max_tokens":100"#, model: "busy"))
            #expect(try await StreamTests.eventually { server.engine.status().active == 1 })
            let refused = try await server.post("/admin/models/load", #"{"model_id":"huge"}"#)
            #expect(refused.status == 507 && refused.json["error"]?["code"]?.string == "insufficient_memory")
            #expect(refused.json["code"]?.string == "out_of_memory")
            #expect(refused.json["error"]?["message"]?.string?.contains("\(1 << 60 + 0)") == true)
            #expect(opened.value == 0, "refused before anything is allocated")
            #expect(server.engine.models.map(\.id) == (evicts ? ["busy"] : ["idle", "busy"]))
            let metrics = try await server.get("/metrics").text
            #expect(metrics.contains(#"lmx_model_evictions_total{model="idle",reason="lru"} 1"#) == evicts)
            #expect(try await stream.status == 200)
            let models = try await server.get("/admin/models").json["models"]
            #expect(models?[2]?["state"]?.string == "failed" && models?[2]?["reason"]?.string?.contains("bytes needed") == true)
        }
    }
}
