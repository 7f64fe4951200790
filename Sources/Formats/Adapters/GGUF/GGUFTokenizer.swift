internal import Weights

/// The tokenizer keys of a GGUF header as a ``TokenizerSpec``.
struct GGUFTokenizer {
    private let header: GGUFHeader
    private let place: String

    init(_ header: GGUFHeader) {
        self.header = header
        place = header.place
    }

    /// Nil where the file has no vocabulary.
    func spec() throws(ModelError) -> TokenizerSpec? {
        guard let model = try header.text("tokenizer.ggml.model"), model != "none", model != "no_vocab" else { return nil }
        guard var spec = try empty(model: model) else {
            throw ModelError(
                .unsupported, at: place, "has the tokenizer model \(ModelError.quoted(model))", hint: "gpt2, llama and gemma4 are read")
        }
        spec.pieces = try pieces()
        spec.kinds = try kinds(count: spec.pieces.count)
        switch spec.algorithm {
        case .scoredPairs: spec.scores = try scores(count: spec.pieces.count)
        case .byteLevelPairs, .rankedPairs:
            guard let merges = try header.strings("tokenizer.ggml.merges") else {
                throw ModelError(.missing, at: place, "has no tokenizer.ggml.merges")
            }
            spec.merges = merges
        }
        try readSpecialIDs(&spec)
        spec.addedTokens = try addedTokens(spec)
        spec.endOfGeneration = EndPieces.ids(in: spec)
        try readTemplates(&spec)
        return spec
    }

    /// The algorithm, its split pattern and what they imply unless the file says otherwise.
    private func empty(model: String) throws(ModelError) -> TokenizerSpec? {
        switch model {
        case "llama":
            var spec = TokenizerSpec(algorithm: .scoredPairs, preTokenizer: .none)
            spec.addsSpacePrefix = true
            spec.addsBOS = true
            return spec
        case "gpt2":
            guard let name = try header.text("tokenizer.ggml.pre") else {
                throw ModelError(
                    .missing, at: place, "has no tokenizer.ggml.pre, without which words are split wrongly",
                    hint: "the file was converted by an old tool; convert it anew")
            }
            guard let pre = PreTokenizerNames.gguf[name] else {
                throw ModelError(
                    .unsupported, at: place, "has the pre-tokenizer \(ModelError.quoted(name))",
                    hint: "read are " + PreTokenizerNames.gguf.keys.sorted().joined(separator: ", "))
            }
            var spec = TokenizerSpec(algorithm: .byteLevelPairs, preTokenizer: pre)
            spec.ignoresMerges = pre == .llamaBPE
            spec.addsBOS = pre == .llamaBPE
            spec.composesUnicode = pre == .qwen2 || pre == .qwen35
            return spec
        case "gemma4": return TokenizerSpec(algorithm: .rankedPairs, preTokenizer: .none)
        default: return nil
        }
    }

    private func pieces() throws(ModelError) -> ByteStrings {
        guard let pieces = try header.strings("tokenizer.ggml.tokens") else {
            throw ModelError(.missing, at: place, "has no tokenizer.ggml.tokens")
        }
        guard Limits.vocabulary.contains(pieces.count) else {
            throw ModelError(.outOfRange, at: place, "has a vocabulary of \(pieces.count) pieces")
        }
        return pieces
    }

    private func kinds(count: Int) throws(ModelError) -> [TokenizerSpec.PieceKind] {
        let key = "tokenizer.ggml.token_type"
        guard header.values[key] != nil else { return Array(repeating: .normal, count: count) }
        guard case .array(let array)? = header.values[key], array.type == .i32 || array.type == .u32 else {
            throw header.mistyped(key, "a list of i32")
        }
        try check(key, array.count, count)
        var reader = ByteReader(header.storage, place: place, range: array.range)
        var kinds: [TokenizerSpec.PieceKind] = []
        kinds.reserveCapacity(count)
        for index in 0..<count {
            let number = try reader.u32(key)
            guard let kind = number == 0 ? .normal : TokenizerSpec.PieceKind(rawValue: UInt8(clamping: number)) else {
                throw ModelError(.malformed, at: place, "\(key) of piece \(index) is \(number)", hint: "0 to 6")
            }
            kinds.append(kind)
        }
        return kinds
    }

    private func scores(count: Int) throws(ModelError) -> [Float] {
        let key = "tokenizer.ggml.scores"
        guard let scores = try header.floats(key) else { throw ModelError(.missing, at: place, "has no \(key)") }
        try check(key, scores.count, count)
        guard let bad = scores.firstIndex(where: { $0.isNaN }) else { return scores }
        throw ModelError(.malformed, at: place, "the score of piece \(bad) is not a number")
    }

    private func check(_ key: String, _ count: Int, _ pieces: Int) throws(ModelError) {
        guard count == pieces else {
            throw ModelError(.mismatched, at: place, "\(key) has \(count) entries, the vocabulary has \(pieces) pieces")
        }
    }

    private func readSpecialIDs(_ spec: inout TokenizerSpec) throws(ModelError) {
        func id(_ name: String) throws(ModelError) -> Int? {
            let key = "tokenizer.ggml.\(name)_token_id"
            guard let id = try header.int(key) else { return nil }
            if id == -1 || id == 0xFFFF_FFFF { return nil }  // how writers spell "none"
            guard spec.pieces.indices.contains(id) else {
                throw ModelError(.outOfRange, at: place, "\(key) is \(id), the vocabulary has \(spec.pieces.count) pieces")
            }
            return id
        }
        spec.bos = try id("bos")
        spec.eos = try id("eos")
        spec.eot = try id("eot")
        spec.eom = try id("eom")
        spec.unknown = try id("unknown")
        spec.padding = try id("padding")
        if spec.algorithm == .scoredPairs, spec.kinds.count > 2 {  // SentencePiece's usual places
            if spec.bos == nil, spec.kinds[1] == .control { spec.bos = 1 }
            if spec.eos == nil, spec.kinds[2] == .control { spec.eos = 2 }
            if spec.unknown == nil, spec.kinds[0] == .unknown { spec.unknown = 0 }
        }
        spec.addsBOS = (try header.bool("tokenizer.ggml.add_bos_token") ?? spec.addsBOS) && spec.bos != nil
        spec.addsEOS = (try header.bool("tokenizer.ggml.add_eos_token") ?? false) && spec.eos != nil
        spec.addsSpacePrefix = try header.bool("tokenizer.ggml.add_space_prefix") ?? spec.addsSpacePrefix
    }

    /// Control, unknown and user-defined pieces are matched before the algorithm runs. SentencePiece spells the spaces of
    /// user-defined ones `▁`.
    private func addedTokens(_ spec: TokenizerSpec) throws(ModelError) -> [TokenizerSpec.AddedToken] {
        var tokens: [TokenizerSpec.AddedToken] = []
        for (id, kind) in spec.kinds.enumerated() where kind == .control || kind == .unknown || kind == .userDefined {
            var content = Array(spec.pieces[id])
            if kind == .userDefined, spec.algorithm != .byteLevelPairs { content = SpaceMark.replaced(in: content) }
            guard !content.isEmpty else { continue }  // it would match everywhere
            tokens.append(.init(id: id, content: content, special: kind != .userDefined))
        }
        guard tokens.count <= Limits.addedTokens else {
            throw ModelError(
                .outOfRange, at: place, "has \(tokens.count) control and user-defined pieces", hint: "at most \(Limits.addedTokens)")
        }
        return tokens
    }

    private func readTemplates(_ spec: inout TokenizerSpec) throws(ModelError) {
        func template(_ key: String) throws(ModelError) -> String? {
            guard let text = try header.text(key) else { return nil }
            guard text.utf8.count <= Limits.templateBytes else {
                throw ModelError(
                    .outOfRange, at: place, "\(key) is \(text.utf8.count) bytes long", hint: "at most \(Limits.templateBytes)")
            }
            return text
        }
        spec.chatTemplate = try template("tokenizer.chat_template")
        guard let names = try header.strings("tokenizer.chat_templates") else { return }
        guard names.count <= Limits.namedTemplates else {
            throw ModelError(.outOfRange, at: place, "names \(names.count) chat templates", hint: "at most \(Limits.namedTemplates)")
        }
        for name in names {
            let name = String(decoding: name, as: UTF8.self)
            spec.namedTemplates[name] = try template("tokenizer.chat_template.\(name)")
        }
    }
}
