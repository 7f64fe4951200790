import Weights

/// `POST /admin/config/reload`: reads the configuration again, as far as it can change while the server runs.
package struct ReloadConfiguration: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/config/reload"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let change = try await server.reloadConfiguration()
        return .json(
            .object([
                "success": .bool(true), "updated": .array(change.sections.map { .string($0) }),
                "changed": .array(change.updated.map { .string($0) }),
                "restart_required": .array(change.needsRestart.map { .string($0) }),
            ]))
    }
}

extension ServerContext {
    /// Reads the sources again and takes over what may change while the server runs. A source that is wrong changes nothing.
    func reloadConfiguration() async throws -> LiveConfiguration.Change {
        var change = LiveConfiguration.Change()
        do {
            if let reload = closures.reload { change = live.take(try await Worker.run { try reload() }) }
        } catch let error as ConfigurationError {
            log(LogLine(.error, "Configuration not reloaded: \(error)", event: "config_reload_failed"))
            throw APIError(400, "invalid-request", type: "invalid_request_error", alternativeCode: "invalid_value", error.description)
        }
        log(LogLine(.info, "Configuration reloaded: \(change.summary)", event: "config_reloaded"))
        let configuration = configuration
        events.tell(
            LiveEvent(
                named: "config_reloaded",
                [
                    "routing_aliases": .array(configuration.aliases.keys.sorted().map { .string($0) }),
                    "memory_threshold": .float(configuration.memoryLimitPercent),
                    "log_level": .string(configuration.logLevel.rawValue.uppercased()),
                    "updated": .array(change.sections.map { .string($0) }),
                    "restart_required": .array(change.needsRestart.map { .string($0) }),
                ]))
        return change
    }
}

extension LiveConfiguration.Change {
    /// For the log: `inference.max_tokens; after a restart: server.port`.
    var summary: String {
        let now = updated.isEmpty ? "nothing changed" : updated.joined(separator: ", ")
        return needsRestart.isEmpty ? now : now + "; after a restart: " + needsRestart.joined(separator: ", ")
    }
}
