internal import Weights

/// The folder of a Hugging Face or MLX model, found from a path to it or into it.
struct ModelFolder {
    let path: String
    let names: [String]  // of its files, sorted
    private let only: String?  // the one weight file that was asked for

    /// Nil where the path leads to no folder with `config.json` and a file of safetensors.
    init?(_ given: String) {
        var folder = given, file: String?
        if !FileBytes.isDirectory(given) {
            let parts = given.split(separator: "/", omittingEmptySubsequences: false)
            guard let last = parts.last else { return nil }
            let name = String(last)
            let isWeights = FileBytes.beginning(of: given, count: 16).map(SafetensorsHeader.recognises) == true
            guard name == "config.json" || isWeights else { return nil }
            folder = parts.count == 1 ? "." : parts.count == 2 && parts[0].isEmpty ? "/" : parts.dropLast().joined(separator: "/")
            if name != "config.json", !Self.isWeights(name) { file = name }
        }
        while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
        guard let names = FileBytes.names(in: folder), names.contains("config.json"),
            names.contains(where: { $0.hasSuffix(".safetensors") })
        else { return nil }
        path = folder
        self.names = names
        only = file
    }

    func file(_ name: String) -> String { path == "/" ? "/" + name : path + "/" + name }
    func has(_ name: String) -> Bool { names.contains(name) }

    private static func isWeights(_ name: String) -> Bool { name.hasPrefix("model") && name.hasSuffix(".safetensors") }

    /// The weight files, with all shards there.
    func weights() throws(ModelError) -> [String] {
        if let only { return [only] }
        let weights = names.filter(Self.isWeights)
        guard !weights.isEmpty else {
            let others = names.filter { $0.hasSuffix(".safetensors") }
            throw ModelError(
                .missing, at: path, "has no model*.safetensors",
                hint: "it has \(others.prefix(4).map { ModelError.quoted($0) }.joined(separator: ", "))")
        }
        guard weights.count <= Limits.safetensorsShards else {
            throw ModelError(.outOfRange, at: path, "has \(weights.count) weight files", hint: "at most \(Limits.safetensorsShards)")
        }
        for name in weights {
            guard let total = Self.shards(name), total > weights.count else { continue }
            throw ModelError(
                .missing, at: path, "has \(weights.count) of the \(total) shards of the model", hint: "is the download complete?")
        }
        return weights
    }

    /// 3 for `model-00001-of-00003.safetensors`.
    private static func shards(_ name: String) -> Int? {
        let stem = name.dropLast(".safetensors".count)
        guard let total = stem.split(separator: "-").last, stem.dropLast(total.count).hasSuffix("-of-") else { return nil }
        return Int(total)
    }
}
