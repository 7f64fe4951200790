import API
import TestSupport
import Testing
import Weights

@Suite struct AccessTests {
    static func locked(_ profile: Profile = .local) -> Configuration {
        var configuration = Configuration()
        configuration.profile = profile
        configuration.adminKey = Secret("admin-key")
        configuration.clientKey = Secret("client-key")
        if profile != .local { configuration.host = "127.0.0.1" }
        return configuration
    }

    @Test func adminNeedsTheAdminKeyInEitherHeader() async throws {
        try await RunningServer.run(configuration: Self.locked()) { server in
            for headers in [[:], ["X-Admin-Key": "admin-kez"], ["X-Admin-Key": ""], ["Authorization": "Bearer client-key"], ["X-Api-Key": "admin-key"]] {
                let answer = try await server.get("/admin/status", headers: headers)
                #expect(answer.status == 403, "\(headers)")
                #expect(answer.json["detail"]?.string == "Invalid or missing admin key")
                #expect(answer.json["code"]?.string == "unauthorized")
            }
            for headers in [["X-Admin-Key": "admin-key"], ["Authorization": "Bearer admin-key"], ["Authorization": "bearer admin-key"]] {
                #expect(try await server.get("/admin/status", headers: headers).status == 200)
            }
        }
    }

    @Test func inferenceNeedsTheApiKeyOrTheAdminKey() async throws {
        try await RunningServer.run(configuration: Self.locked()) { server in
            for headers in [[:], ["Authorization": "Bearer wrong"], ["Authorization": "client-key"], ["X-Api-Key": "client-key "+"x"]] {
                let answer = try await server.get("/v1/models", headers: headers)
                #expect(answer.status == 401, "\(headers)")
                #expect(answer.json["detail"]?.string == "Invalid or missing API key")
            }
            for headers in [
                ["Authorization": "Bearer client-key"], ["X-Api-Key": "client-key"], ["Authorization": "Bearer admin-key"],
                ["X-Admin-Key": "admin-key"],
            ] {
                #expect(try await server.get("/v1/models", headers: headers).status == 200, "\(headers)")
            }
        }
    }

    @Test(arguments: ["/healthz", "/readyz", "/v1/discovery", "/.well-known/opta-lmx"])
    func probesNeedNoKey(_ path: String) async throws {
        try await RunningServer.run(configuration: Self.locked()) { server in
            let answer = try await server.get(path)
            #expect(answer.status == 200)
        }
    }

    @Test func aKeyIsAskedForBeforeTheBodyIsLookedAt() async throws {
        try await RunningServer.run(configuration: Self.locked()) { server in
            let answer = try await server.post("/v1/chat/completions", "not json")
            #expect(answer.status == 401)
        }
    }

    @Test(arguments: ["evil.example", "evil.example:1234", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "127.0.0.1:80x", ""])
    func aForeignHostIsRefusedOnThisMachineAlone(_ host: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.get("/healthz", headers: ["Host": host])
            #expect(answer.status == 403)
            #expect(answer.json["error"]?["code"]?.string == "forbidden_host")
        }
    }

    @Test(arguments: ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:1234", "localhost.", "lmx.test"])
    func loopbackNamesAndConfiguredOnesAreOurs(_ host: String) async throws {
        var configuration = Configuration()
        configuration.allowedHosts = ["lmx.test"]
        try await RunningServer.run(configuration: configuration) { server in
            let answer = try await server.get("/healthz", headers: ["Host": host])
            #expect(answer.status == 200)
        }
    }

    @Test func aRequestWithTwoHostsIsRefused() async throws {
        try await RunningServer.run { server in
            let answer = try await server.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test(arguments: ["http://evil.example", "null", "http://localhost:3003", "http://localhost:1", "https://localhost"])
    func aForeignOriginIsRefusedOnEveryMethod(_ origin: String) async throws {
        try await RunningServer.run { server in
            for method in ["GET", "POST", "OPTIONS"] {
                let answer = try await server.send(method, method == "POST" ? "/admin/models/unload" : "/v1/models", headers: ["Origin": origin])
                #expect(answer.status == 403, "\(method)")
                #expect(answer.json["error"]?["code"]?.string == "forbidden_origin")
                #expect(answer.headers["access-control-allow-origin"] == nil)
            }
        }
    }

    @Test func ourOwnOriginIsAllowed() async throws {
        try await RunningServer.run { server in
            let answer = try await server.get("/v1/models", headers: ["Origin": "http://127.0.0.1:\(server.port)"])
            #expect(answer.status == 200)
            #expect(answer.headers["access-control-allow-origin"] == nil)
        }
    }

    @Test func onALanTheDashboardsMayAskFromTheirOwnOrigins() async throws {
        try await RunningServer.run(configuration: Self.locked(.lan)) { server in
            let origin = ["Origin": "http://localhost:3003", "Host": "192.168.0.7:1234"]
            let preflight = try await server.send(
                "OPTIONS", "/admin/models",
                headers: origin.merging(["Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-admin-key"]) { $1 })
            #expect(preflight.status == 204)
            #expect(preflight.headers["access-control-allow-origin"] == "http://localhost:3003")
            #expect(preflight.headers["access-control-allow-headers"]?.contains("X-Admin-Key") == true)
            #expect(preflight.headers["access-control-allow-methods"]?.contains("POST") == true)
            let answer = try await server.get("/admin/models", headers: origin.merging(["X-Admin-Key": "admin-key"]) { $1 })
            #expect(answer.status == 200)
            #expect(answer.headers["access-control-allow-origin"] == "http://localhost:3003")
            #expect(answer.headers["vary"] == "Origin")
            // The refusal can be read by the page, too.
            let refused = try await server.get("/admin/models", headers: origin)
            #expect(refused.status == 403)
            #expect(refused.headers["access-control-allow-origin"] == "http://localhost:3003")

            #expect(try await server.get("/healthz", headers: ["Host": "lmx.lan:1234"]).status == 200)
            #expect(try await server.get("/healthz", headers: ["Host": "lmx.lan:1234", "Origin": "http://lmx.lan:1234"]).status == 403)
            #expect(try await server.get("/healthz", headers: ["Host": "10.1.2.3:1234", "Origin": "http://10.1.2.3:1234"]).status == 200)
        }
    }

    @Test func aListedOriginIsAllowedEverywhere() async throws {
        var configuration = Configuration()
        configuration.allowedOrigins = ["https://lmx.example"]
        try await RunningServer.run(configuration: configuration) { server in
            let answer = try await server.get("/v1/models", headers: ["Origin": "https://lmx.example"])
            #expect(answer.status == 200)
            #expect(answer.headers["access-control-allow-origin"] == "https://lmx.example")
        }
    }

    @Test func aPlainRequestIdComesBackAndAnotherIsReplaced() async throws {
        try await RunningServer.run { server in
            #expect(try await server.get("/healthz", headers: ["X-Request-ID": "abc-1.2"]).headers["x-request-id"] == "abc-1.2")
            for id in ["with space", "<script>", String(repeating: "x", count: 200), "é"] {
                let answer = try await server.get("/healthz", headers: ["X-Request-ID": id])
                #expect(answer.headers["x-request-id"]?.hasPrefix("req-") == true, "\(id)")
            }
            #expect(try await server.get("/nothing", headers: ["X-Request-ID": "abc"]).headers["x-request-id"] == "abc")
        }
    }

    @Test func aServerThatWouldBeWiderOpenThanItsProfileDoesNotStart() throws {
        var open = Configuration()
        open.host = "0.0.0.0"
        let error = #expect(throws: ConfigurationError.self) { try open.validate() }
        #expect(error?.description.contains("key") == true && error?.description.contains("lan") == true)
        open.adminKey = Secret("a")
        open.clientKey = Secret("b")
        try open.validate()

        var lan = Configuration()
        lan.profile = .lan
        try lan.validate()
        var cloud = Configuration()
        cloud.profile = .cloud
        #expect(throws: ConfigurationError.self) { try cloud.validate() }
        #expect(Secret("") == nil)
    }
}
