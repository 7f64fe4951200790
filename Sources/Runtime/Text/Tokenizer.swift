public import Weights

/// Text to the ids of a vocabulary's pieces and back, exactly as the model was trained: one value for all kinds of vocabulary.
///
/// Bytes that are not UTF-8 pass through encoding and decoding unharmed. Nothing in text or file can make it trap.
public struct Tokenizer: Sendable {
    let vocabulary: Vocabulary
    let added: AddedTokens
    let encoder: PieceEncoder
    private let special: [Bool]  // by id
    private let scalars = Scalars()
    private let spacePrefix: Bool, spacePrefixOnlyAtStart: Bool
    private let addsBOS: Bool, addsEOS: Bool

    /// How many ids there are. A model's matrices may have more rows: those ids stand for nothing.
    public var vocabularySize: Int { vocabulary.count }
    /// The id that begins, ends a text, if there is one.
    public let bos: Int32?, eos: Int32?
    /// Every id that ends an answer.
    public let endOfGeneration: Set<Int32>
    /// Bytes of the longest piece: a text of n bytes has at least n / longestPiece tokens.
    public let longestPiece: Int

    /// - Throws: ``ModelError`` where the specification contradicts itself or breaks a limit.
    public init(_ spec: TokenizerSpec) throws(ModelError) {
        try Self.check(spec)
        var special = spec.kinds.map { $0 == .control || $0 == .unknown }
        var tokens = spec.addedTokens
        for token in tokens { special[token.id] = token.special }
        let known = Set(tokens.map(\.id))
        for id in spec.pieces.indices where !known.contains(id) && !spec.pieces[id].isEmpty {
            switch spec.kinds[id] {
            case .control, .unknown: tokens.append(.init(id: id, content: Array(spec.pieces[id]), special: true))
            case .userDefined: tokens.append(.init(id: id, content: Array(spec.pieces[id]), special: false))
            case .normal, .unused, .byte: break
            }
        }
        var added = AddedTokens()
        for token in tokens { added.insert(token) }

        self.added = added
        self.special = special
        vocabulary = Self.vocabulary(spec, tokens)
        encoder = try PieceEncoder(spec, vocabulary)
        spacePrefix = spec.addsSpacePrefix
        spacePrefixOnlyAtStart = spec.spacePrefixOnlyAtStart
        addsBOS = spec.addsBOS
        addsEOS = spec.addsEOS
        bos = spec.bos.map { Int32(truncatingIfNeeded: $0) }
        eos = spec.eos.map { Int32(truncatingIfNeeded: $0) }
        endOfGeneration = Set(
            (spec.endOfGeneration + [spec.eos, spec.eot, spec.eom].compactMap(\.self)).map { Int32(truncatingIfNeeded: $0) })
        longestPiece = max(vocabulary.longest, 1)
    }

    /// Whether the id is a control token: left out of decoded text, matched only where specials are allowed.
    public func isSpecial(_ id: Int32) -> Bool { id >= 0 && id < special.count && special[Int(id)] }

    /// The id of the added or special token of this text, if there is one: `<|im_end|>`.
    public func id(of content: String) -> Int32? {
        let bytes = Array(content.utf8)
        guard let match = added.next(in: bytes.span, from: 0, where: { _, range in range == 0..<bytes.count }) else { return nil }
        return Int32(truncatingIfNeeded: match.token.id)
    }
}

// MARK: - Text to ids

extension Tokenizer {
    /// The ids of a text.
    ///
    /// - Parameters:
    ///   - parseSpecial: Control tokens in the text count as such; else they are read as ordinary text.
    ///   - addSpecial: Begins with BOS and ends with EOS where the vocabulary asks for it and the text has none there.
    public func encode(_ text: String, parseSpecial: Bool = true, addSpecial: Bool = true) -> [Int32] {
        encode(Array(text.utf8), parseSpecial: parseSpecial, addSpecial: addSpecial)
    }

    /// The ids of a text that is given as bytes, UTF-8 or not.
    public func encode(_ text: some Collection<UInt8>, parseSpecial: Bool = true, addSpecial: Bool = true) -> [Int32] {
        let bytes = Array(text)
        var ids = encode(bytes.span, userText: parseSpecial ? [] : [0..<bytes.count])
        if addSpecial {
            begin(&ids)
            if addsEOS, let eos, ids.last != eos { ids.append(eos) }
        }
        return ids
    }

    /// The ids of a prompt: those of the joined text, except that no control token is read into what a user wrote.
    ///
    /// Begins with BOS where the vocabulary asks for it and the prompt has none; never ends with EOS, for an answer is to follow.
    public func encode(segments: [TextSegment], addSpecial: Bool = true) -> [Int32] {
        var bytes: [UInt8] = []
        var userText: [Range<Int>] = []
        for segment in segments {
            let start = bytes.count
            bytes.append(contentsOf: segment.text.utf8)
            if segment.isUserText, bytes.count > start { userText.append(start..<bytes.count) }
        }
        var ids = encode(bytes.span, userText: userText)
        if addSpecial { begin(&ids) }
        return ids
    }

    private func begin(_ ids: inout [Int32]) {
        if addsBOS, let bos, ids.first != bos { ids.insert(bos, at: 0) }
    }

    /// - Parameter userText: Where control tokens are ordinary text, in order.
    private func encode(_ text: Span<UInt8>, userText: [Range<Int>]) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(text.count / 4 + 8)
        var buffer = MergeBuffer()
        var start = 0  // of the text that is not encoded yet
        var search = 0
        var span = 0  // index in `userText` of the first that does not end before `search`
        var prefix = spacePrefix  // whether the next text is read as if it began with a space
        while let match = added.next(
            in: text, from: search,
            where: { token, range in
                guard token.special else { return true }
                while span < userText.count, userText[span].upperBound <= range.lowerBound { span += 1 }
                return span == userText.count || userText[span].lowerBound >= range.upperBound
            })
        {
            search = match.range.upperBound
            if match.token.singleWord, !standsAlone(text, match.range) { continue }
            let before = match.token.stripsLeft ? textEnd(text, start..<match.range.lowerBound) : match.range.lowerBound
            if start < before { encoder.encode(text.extracting(start..<before), spacePrefix: prefix, into: &ids, &buffer) }
            ids.append(Int32(truncatingIfNeeded: match.token.id))
            prefix = spacePrefix && !spacePrefixOnlyAtStart
            start = match.range.upperBound
            if match.token.stripsRight { start = scalars.skip(.space, text, from: start, end: text.count) }
            search = max(search, start)
        }
        if start < text.count { encoder.encode(text.extracting(start..<text.count), spacePrefix: prefix, into: &ids, &buffer) }
        return ids
    }

    /// The end of the text in `range` without the spaces that it ends with.
    private func textEnd(_ text: Span<UInt8>, _ range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound {
            let start = Self.scalarStart(text, before: end, from: range.lowerBound)
            guard scalars.kind(text, at: start, end: end).contains(.space) else { break }
            end = start
        }
        return end
    }

    /// Whether no word character touches the range from outside.
    private func standsAlone(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        if range.lowerBound > 0 {
            let before = Self.scalarStart(text, before: range.lowerBound, from: 0)
            if isWord(text, at: before, end: range.lowerBound) { return false }
        }
        return range.upperBound == text.count || !isWord(text, at: range.upperBound, end: text.count)
    }

    private func isWord(_ text: Span<UInt8>, at start: Int, end: Int) -> Bool {
        text[start] == UInt8(ascii: "_") || !scalars.kind(text, at: start, end: end).isDisjoint(with: [.letter, .number, .mark])
    }

    /// Where the code point begins that ends at `end`.
    private static func scalarStart(_ text: Span<UInt8>, before end: Int, from start: Int) -> Int {
        for length in 2...4 where end - length >= start {
            if UTF8Decoding.scalar(in: text, at: end - length, end: end).length == length { return end - length }
        }
        return end - 1
    }
}

// MARK: - Ids to text

extension Tokenizer {
    /// The bytes that an id stands for; none for a control token, unless `special`, and none for an id that does not exist.
    public func bytes(of id: Int32, special: Bool = false) -> [UInt8] {
        isSpecial(id) && !special ? [] : Array(vocabulary.bytes(of: Int(id)))
    }

    /// The bytes that ids stand for, which need not be UTF-8.
    ///
    /// - Parameters:
    ///   - special: Control tokens are spelled out.
    ///   - continuing: The text goes on from another: the space that the vocabulary sets before every text is not taken away.
    public func decode(_ ids: some Sequence<Int32>, special: Bool = false, continuing: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        for id in ids where special || !isSpecial(id) { bytes.append(contentsOf: vocabulary.bytes(of: Int(id))) }
        if stripsFirstSpace, !continuing, bytes.first == 0x20 { bytes.removeFirst() }
        return bytes
    }

    /// Whether encoding sets a space before a text, so that decoding takes it away.
    var stripsFirstSpace: Bool { spacePrefix }
}

// MARK: - Reading the specification

extension Tokenizer {
    /// What each id stands for, and for which pieces text is searched.
    private static func vocabulary(_ spec: TokenizerSpec, _ tokens: [TokenizerSpec.AddedToken]) -> Vocabulary {
        var contents = [ArraySlice<UInt8>?](repeating: nil, count: spec.pieces.count)  // by id, of added tokens
        for token in tokens where contents[token.id] == nil { contents[token.id] = token.content[...] }
        var vocabulary = Vocabulary(pieces: spec.pieces.count, bytes: spec.pieces.bytes.count)
        var piece: [UInt8] = []
        for id in spec.pieces.indices {
            let spelled = spec.pieces[id]
            let kind = spec.kinds[id]
            piece.removeAll(keepingCapacity: true)
            var isSpelled = true  // in the byte-level alphabet, or with ▁ for every space; else no word can become this piece
            switch spec.algorithm {
            case .byteLevelPairs:
                if let content = contents[id] { piece += content } else { isSpelled = ByteAlphabet.decode(spelled, into: &piece) }
            case .scoredPairs, .rankedPairs:
                if kind == .byte, let byte = SpaceMark.byte(spelled) {
                    piece.append(byte)
                } else {
                    let content = contents[id] ?? spelled
                    SpaceMark.decode(content.span, into: &piece)
                    isSpelled = !spelled.contains(0x20)
                }
            }
            // Control tokens are no keys: text must not merge into them. Byte pieces are not searched for by what they spell.
            let isKey =
                switch kind {
                case .control, .unknown, .byte: false
                case .userDefined: isSpelled && spec.algorithm != .byteLevelPairs
                case .normal, .unused: isSpelled
                }
            vocabulary.append(piece)
            if isKey, !piece.isEmpty { vocabulary.addKey() }
        }
        return vocabulary
    }

    private static func check(_ spec: TokenizerSpec) throws(ModelError) {
        let count = spec.pieces.count
        guard count > 0, count <= 1 << 24 else {
            throw ModelError(.outOfRange, at: "tokenizer", "\(count) pieces; 1 to \(1 << 24) are possible")
        }
        guard spec.pieces.bytes.count <= 1 << 30 else {
            throw ModelError(.outOfRange, at: "tokenizer", "\(spec.pieces.bytes.count) bytes of pieces; at most \(1 << 30) are possible")
        }
        guard spec.kinds.count == count else {
            throw ModelError(.mismatched, at: "tokenizer", "\(count) pieces but \(spec.kinds.count) piece types")
        }
        guard spec.algorithm != .scoredPairs || spec.scores.count == count else {
            throw ModelError(.mismatched, at: "tokenizer", "\(count) pieces but \(spec.scores.count) scores")
        }
        guard spec.addedTokens.count <= 1 << 16 else {
            throw ModelError(.outOfRange, at: "tokenizer", "\(spec.addedTokens.count) added tokens; at most \(1 << 16) are possible")
        }
        for token in spec.addedTokens {
            guard token.id >= 0, token.id < count else {
                throw ModelError(
                    .outOfRange, at: "tokenizer", "added token \(ModelError.quoted(token.content)) has id \(token.id) of \(count)")
            }
            guard (1...1024).contains(token.content.count) else {
                throw ModelError(
                    .outOfRange, at: "tokenizer", "added token \(token.id) is \(token.content.count) bytes long; 1 to 1024 are possible")
            }
        }
        let named = [
            ("bos", spec.bos), ("eos", spec.eos), ("eot", spec.eot), ("eom", spec.eom), ("unknown", spec.unknown),
            ("padding", spec.padding),
        ]
        for (name, id) in named + spec.endOfGeneration.map({ ("end-of-generation", Optional($0)) }) {
            if let id, id < 0 || id >= count {
                throw ModelError(.outOfRange, at: "tokenizer", "the \(name) token has id \(id) of \(count)")
            }
        }
    }
}
