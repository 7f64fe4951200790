internal import Weights

/// How a model's makers want answers drawn, in the two dialects: `general.sampling.…` and `generation_config.json`.
enum GenerationSettings {
    private static let names: [(gguf: String, huggingFace: String, isWhole: Bool)] = [
        ("general.sampling.top_k", "top_k", true), ("general.sampling.top_p", "top_p", false), ("general.sampling.min_p", "min_p", false),
        ("general.sampling.temp", "temperature", false), ("general.sampling.penalty_repeat", "repetition_penalty", false),
    ]

    static func add(from config: JSONObject, to keys: inout GGUFKeys) throws(ModelError) {
        for (gguf, huggingFace, isWhole) in names {
            switch config[huggingFace] {
            case .int(let value)?: if isWhole { try addInt(gguf, value, &keys) } else { keys.add(gguf, f32: Double(value)) }
            case .float(let value)?: if !isWhole { keys.add(gguf, f32: value) }
            default: continue
            }
        }
    }

    private static func addInt(_ key: String, _ value: Int, _ keys: inout GGUFKeys) throws(ModelError) {
        if (0...Int(Int32.max)).contains(value) { keys.add(key, i32: Int32(value)) }
    }

    static func members(from metadata: Metadata) -> JSONObject {
        var members = JSONObject()
        for (gguf, huggingFace, isWhole) in names {
            switch metadata.values[gguf] {
            case .int(let value)?: members[huggingFace] = .int(value)
            case .float(let value)? where !isWhole: members[huggingFace] = .float(Double(String(Float(value))) ?? value)
            default: continue
            }
        }
        if !members.members.isEmpty { members["do_sample"] = .bool(true) }
        return members
    }
}
