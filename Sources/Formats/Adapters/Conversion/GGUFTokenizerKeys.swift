internal import Weights

/// The tokenizer of a checkpoint as GGUF's keys.
struct GGUFTokenizerKeys {
    private let spec: TokenizerSpec
    private let place: String
    /// By piece, from a SentencePiece model beside the checkpoint.
    private let scores: [ArraySlice<UInt8>: Float]

    init(_ spec: TokenizerSpec, scores: [ArraySlice<UInt8>: Float], place: String) {
        self.spec = spec
        self.scores = scores
        self.place = place
    }

    /// - Parameter rows: of the embedding; ids without a piece are filled up.
    func add(to keys: inout GGUFKeys, rows: Int, _ notes: inout [String]) throws(ModelError) {
        guard spec.pieces.count <= rows else {
            throw ModelError(.mismatched, at: place, "has \(spec.pieces.count) pieces, the embedding \(rows) rows")
        }
        let isByteLevel = spec.algorithm == .byteLevelPairs
        keys.add("tokenizer.ggml.model", text: isByteLevel ? "gpt2" : "llama")
        keys.add("tokenizer.ggml.pre", text: isByteLevel ? spec.preTokenizer.rawValue : "default")
        var pieces = ByteStrings()
        var kinds: [Int32] = []
        pieces.reserve(strings: rows, bytes: spec.pieces.bytes.count)
        let added = Dictionary(spec.addedTokens.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for id in 0..<rows {
            guard id < spec.pieces.count, !(spec.pieces[id].isEmpty && spec.kinds[id] == .unused) else {
                pieces.append("[PAD\(id)]".utf8)
                kinds.append(Int32(TokenizerSpec.PieceKind.unused.rawValue))
                continue
            }
            if !isByteLevel, let token = added[id], !token.special {
                // Matched in plain text, so spelled with plain spaces.
                pieces.append(SpaceMark.replaced(in: token.content))
            } else {
                pieces.append(spec.pieces[id])
            }
            kinds.append(Int32(spec.kinds[id].rawValue))
        }
        keys.add("tokenizer.ggml.tokens", texts: pieces)
        keys.add("tokenizer.ggml.token_type", i32s: kinds)
        if isByteLevel {
            keys.add("tokenizer.ggml.merges", texts: spec.merges)
            if spec.ignoresMerges != (spec.preTokenizer == .llamaBPE) {
                notes.append("ignore_merges is \(spec.ignoresMerges), which GGUF's readers take from the pre-tokenizer's name")
            }
        } else {
            keys.add("tokenizer.ggml.scores", f32s: scoresByID(rows, kinds, &notes))
        }
        try addSpecials(to: &keys)
        if !isByteLevel { keys.add("tokenizer.ggml.add_space_prefix", bool: spec.addsSpacePrefix) }
        try addTemplates(to: &keys)
    }

    private func addSpecials(to keys: inout GGUFKeys) throws(ModelError) {
        // config.json may name several ends of an answer; GGUF has a place for three.
        var others = spec.endOfGeneration.filter { $0 != spec.eos && $0 != spec.eot && $0 != spec.eom }
        let eos = spec.eos ?? (others.isEmpty ? nil : others.removeFirst())
        let eot = spec.eot ?? (others.isEmpty ? nil : others.removeFirst())
        let eom = spec.eom ?? (others.isEmpty ? nil : others.removeFirst())
        for (name, id) in [
            ("bos", spec.bos), ("eos", eos), ("eot", eot), ("eom", eom), ("unknown", spec.unknown), ("padding", spec.padding),
        ] {
            if let id { try keys.add("tokenizer.ggml.\(name)_token_id", u32: id) }
        }
        keys.add("tokenizer.ggml.add_bos_token", bool: spec.addsBOS)
        keys.add("tokenizer.ggml.add_eos_token", bool: spec.addsEOS)
    }

    private func addTemplates(to keys: inout GGUFKeys) throws(ModelError) {
        if let template = spec.chatTemplate { keys.add("tokenizer.chat_template", text: template) }
        let named = spec.namedTemplates.filter { $0.key != "default" || spec.chatTemplate == nil }.sorted { $0.key < $1.key }
        guard !named.isEmpty else { return }
        keys.add("tokenizer.chat_templates", texts: ByteStrings(named.map(\.key)))
        for (name, template) in named { keys.add("tokenizer.chat_template.\(name)", text: template) }
    }

    /// A pair merges earlier the higher the score of its join. Where no SentencePiece model states scores, the order of the
    /// merges is the order of the scores.
    private func scoresByID(_ rows: Int, _ kinds: [Int32], _ notes: inout [String]) -> [Float] {
        if spec.algorithm == .scoredPairs { return spec.scores + Array(repeating: -1000, count: rows - spec.scores.count) }
        var ranks: [ArraySlice<UInt8>: Int] = [:]
        if scores.isEmpty {
            for merge in spec.merges {
                guard let space = merge.dropFirst().firstIndex(of: UInt8(ascii: " ")) else { continue }
                let join = merge[..<space] + merge[(space + 1)...]
                if ranks[join] == nil { ranks[join] = ranks.count }
            }
            notes.append("scores follow the order of the merges: there is no tokenizer.model to take them from")
        }
        var last = Float(ranks.count)
        return (0..<rows).map { id in
            guard id < spec.pieces.count else { return -1000 }
            switch spec.kinds[id] {
            case .byte: return 0
            case .normal: break
            default: return -1000
            }
            if let score = scores[spec.pieces[id]] { return score }
            if let rank = ranks[spec.pieces[id]] { return -Float(rank) }
            last += 1
            return -last  // single characters and what no merge makes: their score never counts
        }
    }
}
