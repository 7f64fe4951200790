package import Weights

extension Preset {
    /// A request as if it had said itself what the preset says. What it does say stays; null counts as unsaid.
    func applied(to request: JSONObject) -> JSONObject {
        var request = request
        request["model"] = .string(model ?? "auto")
        for parameter in parameters where request[parameter.key] ?? .null == .null { request[parameter.key] = parameter.value }
        if let systemPrompt, case .array(let messages)? = request["messages"], !Self.beginsWithSystem(messages) {
            request["messages"] = .array([.object(["role": .string("system"), "content": .string(systemPrompt)])] + messages)
        }
        return request
    }

    private static func beginsWithSystem(_ messages: [JSONValue]) -> Bool {
        guard case .string(let role)? = messages.first?["role"] else { return false }
        return role == "system" || role == "developer"
    }

    /// As `/admin/presets` shows it.
    var json: JSONValue {
        .object([
            "name": .string(name), "description": .text(description), "model": .text(model), "parameters": .object(parameters),
            "system_prompt": .text(systemPrompt), "routing_alias": .null, "auto_load": .bool(loadsAtStart), "performance": .object([:]),
            "chat_template": .null,
        ])
    }
}

extension ServerContext {
    /// A request whose model is `preset:NAME` with the preset in it; any other as it is.
    package func applyingPreset(_ request: JSONObject) throws(APIError) -> JSONObject {
        guard case .string(let model)? = request["model"], model.hasPrefix(Preset.prefix) else { return request }
        return try preset(named: String(model.dropFirst(Preset.prefix.count))).applied(to: request)
    }

    func preset(named name: String) throws(APIError) -> Preset {
        guard let preset = configuration.presets.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
            throw APIError(
                404, "model-not-found", type: "invalid_request_error", parameter: "model", alternativeCode: "model_not_found",
                "Preset '\(APIError.echo(name))' not found")
        }
        return preset
    }
}
