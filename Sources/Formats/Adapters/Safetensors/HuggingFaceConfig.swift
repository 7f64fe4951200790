internal import Weights

/// `config.json`: the flat table of a model's hyperparameters, and how its layers are quantised.
struct HuggingFaceConfig {
    let metadata: Metadata
    let quantization: MLXQuantization?
    let foreign: ForeignQuantization?

    init(_ path: String) throws(ModelError) {
        let root = try Self.object(path)
        var values: [String: Metadata.Value] = [:]
        try Self.flatten(root, prefix: "", into: &values, path)
        var architecture = root["model_type"]
        if case .object(let inner)? = root["text_config"] {  // the language part of a model that also sees
            try Self.flatten(inner, prefix: "", into: &values, path)
            architecture = inner["model_type"] ?? architecture
        }
        guard case .string(let name)? = architecture else {
            throw ModelError(.missing, at: path, "has no model_type", hint: "is it the config.json of a language model?")
        }
        foreign = try ForeignQuantization(root, path)
        quantization = foreign == nil ? try MLXQuantization(root, path) : nil
        metadata = Metadata(dialect: .huggingFace, place: path, architecture: name, values: values)
    }

    /// Reads a small configuration file whose value is an object.
    static func object(_ path: String) throws(ModelError) -> JSONObject {
        let storage = try FileBytes.text(path, atMost: Limits.configurationBytes)
        do {
            guard case .object(let object) = try unsafe JSONValue.parse(storage.bytes, maximumDepth: Limits.jsonDepthOfFiles) else {
                throw ModelError(.malformed, at: path, "is no JSON object")
            }
            return object
        } catch let error as JSONError {
            throw error.error(in: path)
        } catch let error as ModelError {
            throw error
        } catch {
            throw ModelError(.malformed, at: path, "\(error)")
        }
    }

    /// Nested keys are joined by a dot; null counts as absent; lists of lists and of objects are left out.
    private static func flatten(
        _ object: JSONObject, prefix: String, into values: inout [String: Metadata.Value], _ place: String
    ) throws(ModelError) {
        for member in object where prefix != "" || !["quantization", "quantization_config", "text_config"].contains(member.key) {
            let key = prefix + member.key
            switch member.value {
            case .null: continue
            case .bool(let value): values[key] = .bool(value)
            case .int(let value): values[key] = .int(value)
            case .float(let value): values[key] = .float(value)
            case .string(let value): values[key] = .text(value)
            case .object(let inner): try flatten(inner, prefix: key + ".", into: &values, place)
            case .array(let elements): if let list = list(elements) { values[key] = list }
            }
            guard values.count <= Limits.ggufKeys else {
                throw ModelError(.outOfRange, at: place, "has more than \(Limits.ggufKeys) keys")
            }
        }
    }

    private static func list(_ elements: [JSONValue]) -> Metadata.Value? {
        var ints: [Int] = [], floats: [Double] = [], flags: [Bool] = [], texts: [String] = []
        for element in elements {
            switch element {
            case .int(let value):
                ints.append(value)
                floats.append(Double(value))
            case .float(let value): floats.append(value)
            case .bool(let value): flags.append(value)
            case .string(let value): texts.append(value)
            default: return nil
            }
        }
        if ints.count == elements.count { return .ints(ints) }
        if floats.count == elements.count { return .floats(floats) }
        if flags.count == elements.count { return .bools(flags) }
        return texts.count == elements.count ? .texts(texts) : nil
    }
}
