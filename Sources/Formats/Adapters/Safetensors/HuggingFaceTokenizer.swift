internal import Weights

/// The tokenizer of a Hugging Face folder: `tokenizer.json`, and what the files beside it say about special tokens,
/// the ends of an answer, and chat templates.
struct HuggingFaceTokenizer {
    private let folder: ModelFolder
    private let config: Metadata

    init(_ folder: ModelFolder, config: Metadata) {
        self.folder = folder
        self.config = config
    }

    /// Nil where the folder has no `tokenizer.json`.
    /// - Parameter rows: of the embedding. Pieces beyond it (of images, say) can't be run and are left out.
    func spec(rows: Int?) throws(ModelError) -> TokenizerSpec? {
        guard folder.has("tokenizer.json") else { return nil }
        let place = folder.file("tokenizer.json")
        var file = TokenizerFile(place: place)
        let storage = try FileBytes.text(place, atMost: Limits.tokenizerFileBytes)
        do {
            var scanner = JSONScanner(storage)
            try file.read(&scanner)
        } catch let error as ModelError {
            throw error
        } catch let error as JSONError {
            throw error.error(in: place)
        } catch {
            throw ModelError(.malformed, at: place, "\(error)")
        }
        var spec = try file.spec(atMost: rows ?? Int.max)
        try readSettings(&spec)
        spec.endOfGeneration = EndPieces.ids(in: spec)
        return spec
    }

    // MARK: the files beside it

    private func readSettings(_ spec: inout TokenizerSpec) throws(ModelError) {
        let settings = try object("tokenizer_config.json"), specials = try object("special_tokens_map.json")
        let generation = try object("generation_config.json")
        func id(_ name: String) -> Int? {
            guard let content = Self.content(settings[name]) ?? Self.content(specials[name]) else { return nil }
            return spec.addedTokens.first { $0.content == content }?.id ?? spec.pieces.firstIndex { $0.elementsEqual(content) }
        }
        // generation_config.json speaks before config.json, the tokenizer's own files before both.
        let begins = try stated("bos_token_id", generation, spec), ends = try stated("eos_token_id", generation, spec)
        let paddings = try stated("pad_token_id", generation, spec)
        spec.bos = id("bos_token") ?? spec.bos ?? begins.first
        spec.eos = id("eos_token") ?? ends.first ?? spec.eos
        spec.unknown = id("unk_token") ?? spec.unknown
        spec.padding = id("pad_token") ?? paddings.first
        spec.endOfGeneration = ends
        if case .bool(let adds)? = settings["add_bos_token"] { spec.addsBOS = adds }
        if case .bool(let adds)? = settings["add_eos_token"] { spec.addsEOS = adds }
        spec.addsBOS = spec.addsBOS && spec.bos != nil
        spec.addsEOS = spec.addsEOS && spec.eos != nil
        try readTemplates(&spec, settings)
    }

    private func object(_ name: String) throws(ModelError) -> JSONObject {
        folder.has(name) ? try HuggingFaceConfig.object(folder.file(name)) : JSONObject()
    }

    /// A special token is written as its text or as an object with its text.
    private static func content(_ value: JSONValue?) -> [UInt8]? {
        switch value {
        case .string(let text)?: Array(text.utf8)
        case .object(let object)?: content(object["content"])
        default: nil
        }
    }

    /// One id or a list of them, from generation_config.json or else from config.json.
    private func stated(_ key: String, _ generation: JSONObject, _ spec: TokenizerSpec) throws(ModelError) -> [Int] {
        let ids: [Int]
        var place = folder.file("generation_config.json")
        switch generation[key] {
        case .int(let id)?: ids = [id]
        case .array(let list)?: ids = list.compactMap { if case .int(let id) = $0 { id } else { nil } }
        default:
            ids = try config.findInts(MetadataKey(huggingFace: [key])) ?? []
            place = config.place
        }
        for id in ids where !spec.pieces.indices.contains(id) {
            throw ModelError(.outOfRange, at: place, "\(key) is \(id), the vocabulary has \(spec.pieces.count) pieces")
        }
        return ids
    }

    // MARK: chat templates

    private func readTemplates(_ spec: inout TokenizerSpec, _ settings: JSONObject) throws(ModelError) {
        switch settings["chat_template"] {
        case .string(let text)?: spec.chatTemplate = try checked(text, folder.file("tokenizer_config.json"))
        case .array(let list)?:
            guard list.count <= Limits.namedTemplates else {
                throw ModelError(
                    .outOfRange, at: folder.file("tokenizer_config.json"), "names \(list.count) chat templates",
                    hint: "at most \(Limits.namedTemplates)")
            }
            for entry in list {
                guard case .string(let name)? = entry["name"], case .string(let text)? = entry["template"] else {
                    throw ModelError(
                        .malformed, at: folder.file("tokenizer_config.json"), "chat_template has an entry without name or template")
                }
                spec.namedTemplates[name] = try checked(text, folder.file("tokenizer_config.json"))
            }
            spec.chatTemplate = spec.namedTemplates["default"]
        default: break
        }
        if spec.chatTemplate == nil, case .string(let text)? = try object("chat_template.json")["chat_template"] {
            spec.chatTemplate = try checked(text, folder.file("chat_template.json"))
        }
        if folder.has("chat_template.jinja") {
            let place = folder.file("chat_template.jinja")
            let storage = try FileBytes.text(place, atMost: Limits.templateBytes)
            let reader = ByteReader(storage, place: place)
            spec.chatTemplate = try reader.text(0..<reader.end, "the template")
        }
    }

    private func checked(_ text: String, _ place: String) throws(ModelError) -> String {
        guard text.utf8.count <= Limits.templateBytes else {
            throw ModelError(
                .outOfRange, at: place, "has a chat template of \(text.utf8.count) bytes", hint: "at most \(Limits.templateBytes)")
        }
        return text
    }
}
