import API
import TestSupport
import Testing
import Weights

@Suite struct HealthTests {
    @Test func healthzSaysOkAndItsVersionWithoutAModel() async throws {
        try await RunningServer.run(models: []) { server in
            let answer = try await server.get("/healthz")
            #expect(answer.status == 200)
            #expect(answer.json == .object(["status": .string("ok"), "version": .string("0.0.0-test")]))
            #expect(answer.headers["content-type"] == "application/json")
            #expect(answer.headers["x-request-id"]?.hasPrefix("req-") == true)
            #expect(answer.headers["date"]?.hasSuffix("GMT") == true)
        }
    }

    @Test func readyzRefusesUntilAModelIsLoaded() async throws {
        try await RunningServer.run(models: []) { server in
            let answer = try await server.get("/readyz")
            #expect(answer.status == 503)
            #expect(answer.json["status"]?.string == "unavailable")
            #expect(answer.json["ready"]?.bool == false)
            #expect(answer.json["reason"]?.string == "no models loaded")
            #expect(answer.json["error"]?.string == "no-model-loaded")
            #expect(answer.json["models_loaded"]?.int == 0)
        }
    }

    @Test func readyzNamesTheModelThatAnswers() async throws {
        try await RunningServer.run(models: ["one", "two"]) { server in
            let answer = try await server.get("/readyz")
            #expect(answer.status == 200)
            #expect(answer.json["status"]?.string == "ready")
            #expect(answer.json["ready"]?.bool == true)
            #expect(answer.json["models_loaded"]?.int == 2)
            #expect(answer.json["model"]?.string == "two")
            #expect(answer.json["vram_gb"] != nil)
        }
    }

    @Test func headIsAnsweredLikeGetWithoutABody() async throws {
        try await RunningServer.run { server in
            let answer = try await server.send("HEAD", "/healthz")
            #expect(answer.status == 200)
            #expect(answer.body.isEmpty)
            #expect(answer.headers["content-length"] != "0")
        }
    }

    @Test func adminHealthAndStatusCountModelsAndMemory() async throws {
        try await RunningServer.run { server in
            let health = try await server.get("/admin/health")
            #expect(health.status == 200)
            #expect(["ok", "degraded"].contains(health.json["status"]?.string))
            #expect(health.json["models_loaded"]?.int == 1)
            let status = try await server.get("/admin/status")
            #expect(status.json["models"] == .array([.string("tiny")]))
            #expect(status.json["loaded_models"]?.int == 1)
            for key in ["total_gb", "used_gb", "available_gb", "usage_percent", "used_percent", "threshold_percent"] {
                #expect(status.json["memory"]?[key] != nil, "\(key)")
            }
            #expect(status.json["in_flight_requests"]?.int == 0)
        }
    }

    @Test func discoveryAnswersAtBothAddressesAndHidesModelsFromStrangers() async throws {
        try await RunningServer.run { server in
            for path in ["/v1/discovery", "/.well-known/opta-lmx"] {
                let answer = try await server.get(path)
                #expect(answer.status == 200)
                #expect(answer.json["service"]?.string == "opta-lmx")
                #expect(answer.json["loaded_model_count"]?.int == 1)
                #expect(answer.json["loaded_models"] == .array([]))
                #expect(answer.json["endpoints"]?["websocket_url"]?.string == "ws://localhost:\(server.port)/v1/chat/stream")
                #expect(answer.json["auth"]?["admin_key_required"]?.bool == false)
                #expect(answer.json["instance_id"]?.string?.hasSuffix(":\(server.port)") == true)
            }
        }
    }

    @Test func theServerSaysWhereItListens() async throws {
        try await RunningServer.run { server in
            #expect(server.lines.all.contains("INFO:     LMX starting on 127.0.0.1:\(server.port)"))
        }
    }
}
