public import Weights

/// The registry of model formats: one line per adapter.
public enum ModelSources {
    private static let all: [any ModelSource.Type] = [GGUFSource.self, SafetensorsSource.self]

    /// Opens a model: a file or a directory, recognised by its content.
    /// - Throws: `unreadable` where nothing can be read, `unrecognised` with what the bytes look like where no adapter
    ///   claims them, else what the adapter finds wrong.
    public static func open(_ path: String) throws(ModelError) -> any ModelSource {
        for adapter in all where adapter.recognises(path) { return try adapter.init(opening: path) }
        if let file = onlyGGUF(in: path) { return try GGUFSource(opening: file) }
        throw refusal(of: path)
    }

    /// The one GGUF model of a folder, which may be split into shards; nil where there are several or none.
    private static func onlyGGUF(in folder: String) -> String? {
        guard FileBytes.isDirectory(folder), let names = FileBytes.names(in: folder) else { return nil }
        let files = names.filter { $0.hasSuffix(".gguf") && !$0.hasPrefix("mmproj") }  // a projector of images is no model
        guard let first = files.first else { return nil }
        guard files.count == 1 || (first.contains("-00001-of-") && files.allSatisfy { isShard($0, of: first) }) else { return nil }
        return folder + (folder.hasSuffix("/") ? "" : "/") + first
    }

    private static func isShard(_ name: String, of first: String) -> Bool {
        let tail = "-00001-of-00003.gguf".utf8.count
        return name.utf8.count == first.utf8.count && name.utf8.dropLast(tail).elementsEqual(first.utf8.dropLast(tail))
    }

    private static func refusal(of path: String) -> ModelError {
        let readable = "a GGUF file, or a folder with config.json and *.safetensors"
        guard FileBytes.exists(path) else { return ModelError(.unreadable, at: path, "does not exist") }
        if FileBytes.isDirectory(path) {
            guard let names = FileBytes.names(in: path) else { return ModelError(.unreadable, at: path, "cannot be listed") }
            if names.isEmpty { return ModelError(.unrecognised, at: path, "is an empty folder", hint: readable) }
            let models = names.filter { $0.hasSuffix(".gguf") }
            if !models.isEmpty {
                return ModelError(
                    .unrecognised, at: path, "is a folder of several GGUF files",
                    hint: "open one of them: \(models.prefix(4).map { ModelError.quoted($0) }.joined(separator: ", "))")
            }
            if names.contains(where: { $0.hasSuffix(".safetensors") }) {
                return ModelError(
                    .missing, at: path, "has *.safetensors but no config.json", hint: "fetch config.json of the same model")
            }
            if names.contains(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") || $0.hasSuffix(".pt") }) {
                return ModelError(
                    .unrecognised, at: path, "holds PyTorch weights, no *.safetensors",
                    hint: "LMX does not run pickles; use a safetensors version of the model")
            }
            return ModelError(.unrecognised, at: path, "holds no model", hint: readable)
        }
        guard let bytes = FileBytes.beginning(of: path, count: 512) else {
            return ModelError(.unreadable, at: path, "is not a regular file, or not readable")
        }
        return refusal(ofFile: path, bytes, readable)
    }

    private static func refusal(ofFile path: String, _ bytes: [UInt8], _ readable: String) -> ModelError {
        func begins(_ text: StaticString) -> Bool {
            bytes.count >= text.utf8CodeUnitCount && text.withUTF8Buffer { unsafe bytes.starts(with: $0) }
        }
        if bytes.isEmpty { return ModelError(.truncated, at: path, "is empty") }
        if begins("GG") && bytes.count < 4 { return ModelError(.truncated, at: path, "ends after \(bytes.count) bytes") }
        for old in ["lmgg", "fmgg", "tjgg", "algg"] as [StaticString] where begins(old) {
            return ModelError(
                .unsupported, at: path, "is a file of the old GGML formats, from before GGUF", hint: "convert the model anew")
        }
        if begins("PK\u{3}\u{4}") || (bytes.count > 1 && bytes[0] == 0x80 && (2...5).contains(bytes[1])) {
            return ModelError(
                .unsupported, at: path, "looks like PyTorch weights, a pickle or a zip archive",
                hint: "LMX does not run pickles; use a safetensors version of the model")
        }
        if bytes.count > 9, bytes[8] == UInt8(ascii: "{") {
            return ModelError(
                .missing, at: path, "is a safetensors file without a config.json beside it",
                hint: "put config.json and tokenizer.json of the same model into its folder")
        }
        if begins("version https://git-lfs") {
            return ModelError(
                .unrecognised, at: path, "is a pointer of Git LFS, not the file it stands for", hint: "git lfs pull, or download the file itself")
        }
        if bytes.allSatisfy({ $0 >= 0x20 || (9...13).contains($0) }) {
            return ModelError(
                .unrecognised, at: path, "is a text file, beginning with \(ModelError.quoted(bytes.prefix(40)))", hint: readable)
        }
        return ModelError(
            .unrecognised, at: path, "is of no format that LMX knows, beginning with \(ModelError.quoted(bytes.prefix(8)))",
            hint: readable)
    }
}
