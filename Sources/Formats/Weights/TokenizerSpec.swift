/// Everything a file says about its tokenizer, as data: the adapters fill it, `Text` runs it.
public struct TokenizerSpec: Sendable, Equatable {
    /// How text becomes pieces.
    public enum Algorithm: String, Sendable {
        /// Byte-level BPE (GPT-2 and after): bytes are spelled in the 256-character printable alphabet, `merges` rank pairs.
        case byteLevelPairs
        /// SentencePiece BPE: spaces are spelled `▁`, the pair whose join has the highest *score* merges first,
        /// unknown characters fall back to `<0xNN>` pieces. GGUF's `tokenizer.ggml.model = llama`.
        case scoredPairs
        /// The same vocabulary written by Hugging Face: spaces are spelled `▁`, `merges` rank pairs, byte fallback.
        case rankedPairs
    }

    /// The published split patterns, by the name that GGUF's `tokenizer.ggml.pre` gives them. `Text` implements each by hand.
    public enum PreTokenizer: String, Sendable, CaseIterable {
        case gpt2 = "gpt-2"
        case smollm
        case llamaBPE = "llama-bpe"
        case qwen2
        case qwen35
        case deepseekLLM = "deepseek-llm"
        case deepseekCoder = "deepseek-coder"
        case commandR = "command-r"
        case falcon
        case starcoder
        case refact
        /// No split before merging (SentencePiece vocabularies).
        case none
    }

    /// What kind of piece an id is; raw values as in `tokenizer.ggml.token_type`.
    public enum PieceKind: UInt8, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// A piece that is matched in the text before the algorithm runs.
    public struct AddedToken: Sendable, Equatable {
        public var id: Int
        public var content: [UInt8]  // plain UTF-8, never in the byte-level alphabet
        public var special: Bool  // a control token: left out of decoded text, matched only where specials are allowed
        public var stripsLeft = false, stripsRight = false, singleWord = false
        public var normalized = false

        public init(id: Int, content: [UInt8], special: Bool) {
            self.id = id
            self.content = content
            self.special = special
        }
    }

    public var algorithm: Algorithm
    public var preTokenizer: PreTokenizer
    public var pieces = ByteStrings()  // by id, spelled as in the file
    public var kinds: [PieceKind] = []  // by id; as many as pieces
    public var scores: [Float] = []  // by id where `scoredPairs`, else empty
    public var merges = ByteStrings()  // by rank, "left right" with one space; both sides may themselves hold spaces only as their spelling
    public var addedTokens: [AddedToken] = []

    public var bos: Int?, eos: Int?, eot: Int?, eom: Int?, unknown: Int?, padding: Int?
    public var endOfGeneration: [Int] = []  // every id that ends an answer: eos, eot, eom, a configuration's list
    public var addsBOS = false, addsEOS = false
    public var addsSpacePrefix = false  // SentencePiece vocabularies: text is read as if it began with a space
    public var spacePrefixOnlyAtStart = false  // not again behind every control token (Metaspace's "first")
    public var spacePrefixYieldsToSpace = false  // not where text begins with a space already (Metaspace)
    public var composesUnicode = false  // NFC before splitting (qwen2)
    public var ignoresMerges = false  // a word that is a piece stays whole whatever the merges say (llama 3)

    public var chatTemplate: String?
    public var namedTemplates: [String: String] = [:]

    public init(algorithm: Algorithm, preTokenizer: PreTokenizer) {
        self.algorithm = algorithm
        self.preTokenizer = preTokenizer
    }
}
