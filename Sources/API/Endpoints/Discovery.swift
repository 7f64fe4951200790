import Engine
import Weights

/// `GET /v1/discovery` and `GET /.well-known/opta-lmx`: by which a client that searches the network knows this server.
package struct Discovery: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/v1/discovery"
    package static let access = Access.open
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let status = server.engine.status()
        let configuration = server.configuration
        let machine = Machine.name
        let names = configuration.profile == .local ? ["localhost", "127.0.0.1"] : [machine + ".local", "localhost", "127.0.0.1", machine]
        let bases = names.map { "http://\($0):\(call.port)" }
        let preferred = bases.first ?? ""
        // Strangers may ask this: what is loaded is told on a trusted network only.
        let shown = configuration.profile == .lan ? status.models.map { JSONValue.string($0.model.id) } : []
        return .json(
            .object([
                "schema_version": .string("2026-03-02"), "instance_id": .string("\(machine):\(call.port)"),
                "continuity": .object(["event_resume_supported": .bool(true)]),
                "service": .string("opta-lmx"), "version": .string(server.version),
                "security_profile": .string(configuration.profile.rawValue),
                "ready": .bool(!status.models.isEmpty && !server.lifecycle.isDraining),
                "loaded_models": .array(shown), "loaded_model_count": .int(status.models.count),
                "in_flight_requests": .int(status.inFlight),
                "auth": .object([
                    "admin_key_required": .bool(configuration.adminKey != nil),
                    "inference_key_required": .bool(configuration.clientKey != nil), "supabase_jwt_enabled": .bool(false),
                ]),
                "endpoints": .object([
                    "preferred_base_url": .string(preferred), "base_urls": .array(bases.map { .string($0) }),
                    "openai_base_url": .string(preferred + "/v1"), "admin_base_url": .string(preferred + "/admin"),
                    "websocket_url": .string("ws" + preferred.dropFirst("http".count) + ChatSocket.path.description),
                ]),
                "client_probe_order": .array(
                    ["/.well-known/opta-lmx", "/v1/discovery", "/healthz", "/v1/models"].map { .string($0) }),
                "hardware_summary": .object([
                    "chip": .string(Machine.processor), "memory_gb": .gibibytes(server.memory().totalBytes), "metal": .bool(false),
                ]),
            ]))
    }
}
