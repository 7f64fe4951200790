internal import Weights

/// The tokenizer files of a Hugging Face checkpoint: `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`, the chat
/// template and, where pieces have scores, `tokenizer.model`.
struct TokenizerWriter {
    private let spec: TokenizerSpec
    private let place: String

    /// Members of generation_config.json beyond the ids.
    private let settings: JSONObject

    init(_ spec: TokenizerSpec, settings: JSONObject = [:], place: String) {
        self.spec = spec
        self.settings = settings
        self.place = place
    }

    /// - Throws: `unsupported` for a split pattern without a written form, `malformed` for pieces that JSON cannot spell.
    func files() throws(ModelError) -> [(name: String, bytes: [UInt8])] {
        var files = [
            ("tokenizer.json", Self.text(.object(try tokenizer()))),
            ("tokenizer_config.json", Self.text(.object(try configuration()))),
            ("generation_config.json", Self.text(.object(generation()))),
        ]
        if spec.algorithm == .scoredPairs { files.append(("tokenizer.model", SentencePieceFile.bytes(of: spec))) }
        if spec.namedTemplates.isEmpty, let template = spec.chatTemplate { files.append(("chat_template.jinja", Array(template.utf8))) }
        return files
    }

    /// `eos_token_id`: every piece that ends an answer, the tokenizer's own first.
    static func ends(_ spec: TokenizerSpec) -> JSONValue {
        let ids = spec.endOfGeneration.isEmpty ? spec.eos.map { [$0] } ?? [] : spec.endOfGeneration
        return ids.isEmpty ? .null : ids.count == 1 ? .int(ids[0]) : .array(ids.map(JSONValue.int))
    }

    // MARK: tokenizer.json

    private func tokenizer() throws(ModelError) -> JSONObject {
        let byteLevel = spec.algorithm == .byteLevelPairs
        let vocabulary = try vocabulary()
        return [
            "version": .string("1.0"),
            "truncation": .null,
            "padding": .null,
            "added_tokens": .array(try addedTokens()),
            "normalizer": normalizer,
            "pre_tokenizer": byteLevel ? try splitter() : .null,
            "post_processor": try postProcessor(),
            "decoder": decoder,
            "model": .object([
                "type": .string("BPE"),
                "dropout": .null,
                "unk_token": byteLevel ? .null : try spec.unknown.map { (id) throws(ModelError) in .string(try piece(id)) } ?? .null,
                "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null,
                "fuse_unk": .bool(!byteLevel),
                "byte_fallback": .bool(!byteLevel),
                "ignore_merges": .bool(spec.ignoresMerges),
                "vocab": .object(vocabulary),
                "merges": .array(try merges()),
            ]),
        ]
    }

    private func vocabulary() throws(ModelError) -> JSONObject {
        var vocabulary = JSONObject()
        var seen: [ArraySlice<UInt8>: Int] = [:]
        vocabulary.members.reserveCapacity(spec.pieces.count)
        for (id, bytes) in spec.pieces.enumerated() {
            if let other = seen.updateValue(id, forKey: bytes) {
                throw ModelError(
                    .unsupported, at: place,
                    "pieces \(other) and \(id) are both \(ModelError.quoted(bytes)), which tokenizer.json cannot say")
            }
            vocabulary.members.append(.init(key: try text(bytes, id), value: .int(id)))
        }
        return vocabulary
    }

    private func addedTokens() throws(ModelError) -> [JSONValue] {
        var tokens: [JSONValue] = []
        for token in spec.addedTokens.sorted(by: { $0.id < $1.id }) {
            // SentencePiece's user-defined pieces are spelled, and matched, with their spaces as ▁.
            let spelled = spec.algorithm != .byteLevelPairs && !token.special
            tokens.append(
                .object([
                    "id": .int(token.id),
                    "content": .string(spelled ? try piece(token.id) : try text(token.content[...], token.id)),
                    "single_word": .bool(token.singleWord),
                    "lstrip": .bool(token.stripsLeft),
                    "rstrip": .bool(token.stripsRight),
                    "normalized": .bool(token.normalized || spelled),
                    "special": .bool(token.special),
                ]))
        }
        return tokens
    }

    private func merges() throws(ModelError) -> [JSONValue] {
        var merges: [JSONValue] = []
        if spec.algorithm == .scoredPairs {
            for (left, right) in rankedByScore() { merges.append(.array([.string(try text(left, 0)), .string(try text(right, 0))])) }
            return merges
        }
        merges.reserveCapacity(spec.merges.count)
        for (rank, merge) in spec.merges.enumerated() {
            // The second byte onwards: the left side may itself begin with a space.
            guard let space = merge.dropFirst().firstIndex(of: UInt8(ascii: " ")), space + 1 < merge.endIndex else {
                throw ModelError(
                    .malformed, at: place, "merge \(rank) is \(ModelError.quoted(merge))", hint: "two pieces with a space between")
            }
            merges.append(.array([.string(try text(merge[..<space], rank)), .string(try text(merge[(space + 1)...], rank))]))
        }
        return merges
    }

    /// SentencePiece merges the pair whose join has the highest score: as ranks, every way to split a piece into two, best piece first.
    private func rankedByScore() -> [(ArraySlice<UInt8>, ArraySlice<UInt8>)] {
        let known = Set(spec.pieces)
        let order = spec.pieces.indices.filter { spec.kinds[$0] == .normal }.sorted {
            spec.scores[$0] != spec.scores[$1] ? spec.scores[$0] > spec.scores[$1] : $0 < $1
        }
        var merges: [(ArraySlice<UInt8>, ArraySlice<UInt8>)] = []
        for id in order {
            let piece = spec.pieces[id]
            for cut in piece.indices.dropFirst() where piece[cut] & 0xC0 != 0x80 {
                let left = piece[..<cut]
                let right = piece[cut...]
                if known.contains(left), known.contains(right) { merges.append((left, right)) }
            }
        }
        return merges
    }

    private var normalizer: JSONValue {
        let spaces = JSONValue.object([
            "type": .string("Replace"), "pattern": .object(["String": .string(" ")]), "content": .string("▁"),
        ])
        switch spec.algorithm {
        case .byteLevelPairs: return spec.composesUnicode ? .object(["type": .string("NFC")]) : .null
        case .scoredPairs, .rankedPairs:
            guard spec.addsSpacePrefix else { return spaces }
            let prefix = JSONValue.object(["type": .string("Prepend"), "prepend": .string("▁")])
            return .object(["type": .string("Sequence"), "normalizers": .array([prefix, spaces])])
        }
    }

    private func splitter() throws(ModelError) -> JSONValue {
        func bytes(splits: Bool) -> JSONValue {
            .object([
                "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true), "use_regex": .bool(splits),
            ])
        }
        func sequence(_ first: JSONValue, _ second: JSONValue) -> JSONValue {
            .object(["type": .string("Sequence"), "pretokenizers": .array([first, second])])
        }
        switch spec.preTokenizer {
        case .gpt2: return bytes(splits: true)
        case .smollm, .starcoder, .refact, .commandR:
            return sequence(.object(["type": .string("Digits"), "individual_digits": .bool(true)]), bytes(splits: true))
        case .llamaBPE, .qwen2:
            let digits = spec.preTokenizer == .qwen2 ? #"\p{N}"# : #"\p{N}{1,3}"#
            let pattern =
                #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
                + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            let split = JSONValue.object([
                "type": .string("Split"), "pattern": .object(["Regex": .string(pattern)]), "behavior": .string("Isolated"),
                "invert": .bool(false),
            ])
            return sequence(split, bytes(splits: false))
        case .qwen35, .deepseekLLM, .deepseekCoder, .falcon, .none:
            throw ModelError(.unsupported, at: place, "the split pattern \(spec.preTokenizer.rawValue) is not written to tokenizer.json")
        }
    }

    private func postProcessor() throws(ModelError) -> JSONValue {
        var single: [JSONValue] = []
        var pair: [JSONValue] = []
        var specials = JSONObject()
        func part(_ kind: String, _ id: String, _ type: Int) -> JSONValue {
            .object([kind: .object(["id": .string(id), "type_id": .int(type)])])
        }
        func add(_ id: Int) throws(ModelError) {
            let name = try piece(id)
            single.append(part("SpecialToken", name, 0))
            specials[name] = .object(["id": .string(name), "ids": .array([.int(id)]), "tokens": .array([.string(name)])])
        }
        if spec.addsBOS, let bos = spec.bos { try add(bos) }
        let begin = single
        single.append(part("Sequence", "A", 0))
        pair = single + begin + [part("Sequence", "B", 1)]
        if spec.addsEOS, let eos = spec.eos {
            try add(eos)
            pair.append(part("SpecialToken", try piece(eos), 1))
        }
        guard !specials.members.isEmpty else {
            return spec.algorithm == .byteLevelPairs
                ? .object([
                    "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(false), "use_regex": .bool(true),
                ])
                : .null
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": .array(single), "pair": .array(pair), "special_tokens": .object(specials),
        ])
    }

    private var decoder: JSONValue {
        guard spec.algorithm != .byteLevelPairs else {
            return .object([
                "type": .string("ByteLevel"), "add_prefix_space": .bool(true), "trim_offsets": .bool(true), "use_regex": .bool(true),
            ])
        }
        var steps: [JSONValue] = [
            .object(["type": .string("Replace"), "pattern": .object(["String": .string("▁")]), "content": .string(" ")]),
            .object(["type": .string("ByteFallback")]),
            .object(["type": .string("Fuse")]),
        ]
        if spec.addsSpacePrefix {
            steps.append(.object(["type": .string("Strip"), "content": .string(" "), "start": .int(1), "stop": .int(0)]))
        }
        return .object(["type": .string("Sequence"), "decoders": .array(steps)])
    }

    // MARK: the other files

    private func configuration() throws(ModelError) -> JSONObject {
        var config: JSONObject = [
            "tokenizer_class": .string("PreTrainedTokenizerFast"),
            "clean_up_tokenization_spaces": .bool(false),
            "add_bos_token": .bool(spec.addsBOS),
            "add_eos_token": .bool(spec.addsEOS),
        ]
        for (key, id) in [
            ("bos_token", spec.bos), ("eos_token", spec.eos), ("unk_token", spec.unknown), ("pad_token", spec.padding),
        ] {
            if let id { config[key] = .string(try piece(id)) }
        }
        if !spec.namedTemplates.isEmpty {
            let named = spec.namedTemplates.sorted { $0.key < $1.key }
            let all = (spec.chatTemplate.map { [("default", $0)] } ?? []) + named.map { ($0.key, $0.value) }
            config["chat_template"] = .array(all.map { .object(["name": .string($0.0), "template": .string($0.1)]) })
        }
        return config
    }

    private func generation() -> JSONObject {
        var generation: JSONObject = ["eos_token_id": Self.ends(spec)]
        if let bos = spec.bos { generation["bos_token_id"] = .int(bos) }
        if let padding = spec.padding { generation["pad_token_id"] = .int(padding) }
        generation.members += settings.members
        return generation
    }

    private func piece(_ id: Int) throws(ModelError) -> String {
        guard spec.pieces.indices.contains(id) else {
            throw ModelError(.outOfRange, at: place, "a special piece is \(id), the vocabulary has \(spec.pieces.count)")
        }
        return try text(spec.pieces[id], id)
    }

    private func text(_ bytes: ArraySlice<UInt8>, _ id: Int) throws(ModelError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ModelError(
                .malformed, at: place, "piece \(id) is no UTF-8: \(ModelError.quoted(bytes))", hint: "tokenizer.json cannot spell it")
        }
        return text
    }

    private static func text(_ value: JSONValue) -> [UInt8] {
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }
}
