internal import Weights

/// Ordinary text, without any added token in it, to ids: normalise, cut into words, merge.
struct PieceEncoder: Sendable {
    private enum Merges {
        case ranked(RankedPairs)
        case scored(ScoredPairs)
    }

    private let vocabulary: Vocabulary
    private let byteLevel: Bool
    private let merges: Merges
    private let prefixYieldsToSpace: Bool
    private let pattern: SplitPattern
    private let composition: Composition?
    private let wholeWords: [Bool]  // by id: a word of these bytes becomes this piece; empty: of none it is known
    private let byteIDs: [Int32]  // what a byte is where no piece fits; -1: nothing
    private let asciiIDs: [Int32]  // the piece that is this one character, or -1
    private let unknown: Int32
    private let neighbours: BytePairSet  // of bytes in some piece: between all others text can be cut and merged by parts

    init(_ spec: TokenizerSpec, _ vocabulary: Vocabulary) throws(ModelError) {
        self.vocabulary = vocabulary
        byteLevel = spec.algorithm == .byteLevelPairs
        prefixYieldsToSpace = byteLevel || spec.spacePrefixYieldsToSpace
        pattern = SplitPattern(spec.preTokenizer)
        composition = spec.composesUnicode ? Composition.shared : nil
        unknown = spec.unknown.map { Int32(truncatingIfNeeded: $0) } ?? -1
        let characters = (0..<256).map { byte in
            let text = [UInt8(truncatingIfNeeded: byte)]
            return vocabulary.find(in: text.span, from: 0, to: 1)
        }
        asciiIDs = characters
        if byteLevel {
            byteIDs = characters
        } else {
            var byteIDs = [Int32](repeating: -1, count: 256)
            for id in spec.pieces.indices where spec.kinds[id] == .byte {
                if let byte = SpaceMark.byte(spec.pieces[id]) { byteIDs[Int(byte)] = Int32(truncatingIfNeeded: id) }
            }
            self.byteIDs = byteIDs
        }
        switch spec.algorithm {
        case .byteLevelPairs, .rankedPairs: merges = .ranked(RankedPairs(pairs: try Self.table(spec, vocabulary)))
        case .scoredPairs: merges = .scored(ScoredPairs(vocabulary, scores: spec.scores))
        }
        var neighbours = BytePairSet()
        if !byteLevel { for id in spec.pieces.indices { neighbours.insert(vocabulary.bytes(of: id).span) } }
        self.neighbours = neighbours
        if spec.ignoresMerges {
            wholeWords = [Bool](repeating: true, count: vocabulary.count)
        } else if byteLevel {
            wholeWords = Self.wholeWords(vocabulary, merges, byteIDs)
        } else {
            wholeWords = []
        }
    }

    /// Appends the ids of `text`.
    ///
    /// - Parameter spacePrefix: The text is read as if it began with one more space.
    func encode(_ text: Span<UInt8>, spacePrefix: Bool, into ids: inout [Int32], _ buffer: inout MergeBuffer) {
        if text.isEmpty { return }
        let startsWithSpace = text[0] == 0x20 || (!byteLevel && SpaceMark.matches(text, at: 0))
        let prefixed = spacePrefix && !(prefixYieldsToSpace && startsWithSpace)
        if byteLevel, !prefixed {
            encodeComposed(text, into: &ids, &buffer)
            return
        }
        var spaced: [UInt8] = prefixed ? [0x20] : []
        spaced.reserveCapacity(text.count + 1)
        if byteLevel {
            for index in text.indices { spaced.append(text[index]) }
        } else {
            SpaceMark.decode(text, into: &spaced)
        }
        encodeComposed(spaced.span, into: &ids, &buffer)
    }

    private func encodeComposed(_ text: Span<UInt8>, into ids: inout [Int32], _ buffer: inout MergeBuffer) {
        if let composed = composition?.composed(text) {
            encodeWords(composed.span, into: &ids, &buffer)
        } else {
            encodeWords(text, into: &ids, &buffer)
        }
    }

    private func encodeWords(_ text: Span<UInt8>, into ids: inout [Int32], _ buffer: inout MergeBuffer) {
        var start = 0
        if byteLevel {
            for end in pattern.ends(in: text) {
                encodeWord(text, start, end, into: &ids, &buffer)
                start = end
            }
            return
        }
        for index in 1..<max(text.count, 1) where !neighbours.contains(text[index - 1], text[index]) && text[index] & 0xC0 != 0x80 {
            encodeWord(text, start, index, into: &ids, &buffer)
            start = index
        }
        encodeWord(text, start, text.count, into: &ids, &buffer)
    }

    private func encodeWord(_ text: Span<UInt8>, _ start: Int, _ end: Int, into ids: inout [Int32], _ buffer: inout MergeBuffer) {
        if !wholeWords.isEmpty, end - start <= vocabulary.longest {
            let id = vocabulary.find(in: text, from: start, to: end)
            if id >= 0, wholeWords[Int(id)] {
                ids.append(id)
                return
            }
        }
        buffer.removeAll()
        if byteLevel {
            for index in start..<end where byteIDs[Int(text[index])] >= 0 {
                buffer.ids.append(byteIDs[Int(text[index])])
                buffer.offsets.append(index)
            }
        } else {
            fillCharacters(text, start, end, &buffer)
        }
        buffer.offsets.append(end)
        switch merges {
        case .ranked(let rule): buffer.merge(rule, text)
        case .scored(let rule): buffer.merge(rule, text)
        }
        for index in buffer.ids.indices {
            if buffer.ids[index] >= 0 {
                ids.append(buffer.ids[index])
            } else {
                appendBytes(text, buffer.offsets[index], buffer.offsets[index + 1], into: &ids)
            }
        }
    }

    /// One symbol per character. Ranked pairs merge ids, so there a character without a piece becomes its bytes at once;
    /// scored pairs merge text, so there it stays, as -1, until all is merged.
    private func fillCharacters(_ text: Span<UInt8>, _ start: Int, _ end: Int, _ buffer: inout MergeBuffer) {
        let ranked = if case .ranked = merges { true } else { false }
        var position = start
        var afterUnknown = false
        while position < end {
            let length = UTF8Decoding.scalar(in: text, at: position, end: end).length
            let id = length == 1 ? asciiIDs[Int(text[position])] : vocabulary.find(in: text, from: position, to: position + length)
            if id >= 0 || !ranked {
                buffer.ids.append(id)
                buffer.offsets.append(position)
                afterUnknown = false
            } else if (position..<(position + length)).allSatisfy({ byteIDs[Int(text[$0])] >= 0 }) {
                for index in position..<(position + length) {
                    buffer.ids.append(byteIDs[Int(text[index])])
                    buffer.offsets.append(index)
                }
                afterUnknown = false
            } else if unknown >= 0, !afterUnknown {
                buffer.ids.append(unknown)
                buffer.offsets.append(position)
                afterUnknown = true
            }
            position += length
        }
    }

    private func appendBytes(_ text: Span<UInt8>, _ start: Int, _ end: Int, into ids: inout [Int32]) {
        for index in start..<end {
            let id = byteIDs[Int(text[index])]
            if id >= 0 {
                ids.append(id)
            } else if unknown >= 0 {
                ids.append(unknown)
                return
            }
        }
    }

    /// The pieces that a word of their bytes merges into. Almost all; in some files merges and pieces do not agree.
    private static func wholeWords(_ vocabulary: Vocabulary, _ merges: Merges, _ byteIDs: [Int32]) -> [Bool] {
        guard case .ranked(let rule) = merges else { return [] }
        var buffer = MergeBuffer()
        return (0..<vocabulary.count).map { id in
            let piece = vocabulary.bytes(of: id)
            buffer.removeAll()
            for (offset, byte) in piece.enumerated() {
                guard byteIDs[Int(byte)] >= 0 else { return false }
                buffer.ids.append(byteIDs[Int(byte)])
                buffer.offsets.append(offset)
            }
            buffer.offsets.append(piece.count)
            buffer.merge(rule, piece.span)
            return buffer.ids.count == 1 && buffer.ids[0] == Int32(truncatingIfNeeded: id)
        }
    }

    /// The list of merges as a table of ids.
    private static func table(_ spec: TokenizerSpec, _ vocabulary: Vocabulary) throws(ModelError) -> PairTable {
        guard !spec.merges.isEmpty, spec.merges.count <= 1 << 24 else {
            throw ModelError(.outOfRange, at: "tokenizer", "\(spec.merges.count) merges; 1 to \(1 << 24) are possible")
        }
        var table = PairTable(pairs: spec.merges.count)
        var merge: [UInt8] = []  // both sides as the bytes that they stand for
        for rank in spec.merges.indices {
            let spelled = spec.merges[rank]
            // The first byte may itself be a space: some vocabularies spell it as it is.
            guard let space = spelled.dropFirst().firstIndex(of: 0x20), space + 1 < spelled.endIndex else {
                throw ModelError(
                    .malformed, at: "tokenizer: merge \(rank)", "\(ModelError.quoted(spelled)) is not two pieces with a space between")
            }
            merge.removeAll(keepingCapacity: true)
            append(spelled[..<space], byteLevel: spec.algorithm == .byteLevelPairs, to: &merge)
            let middle = merge.count
            append(spelled[(space + 1)...], byteLevel: spec.algorithm == .byteLevelPairs, to: &merge)
            let text = merge.span
            let left = vocabulary.find(in: text, from: 0, to: middle)
            let right = vocabulary.find(in: text, from: middle, to: text.count)
            let joined = vocabulary.find(in: text, from: 0, to: text.count)
            guard left >= 0, right >= 0, joined >= 0 else {
                throw ModelError(
                    .mismatched, at: "tokenizer: merge \(rank)",
                    "\(ModelError.quoted(spelled)) joins or makes a piece that the vocabulary lacks")
            }
            table.insert(left, right, rank: UInt32(truncatingIfNeeded: rank), joined: joined)
        }
        return table
    }

    private static func append(_ spelled: ArraySlice<UInt8>, byteLevel: Bool, to bytes: inout [UInt8]) {
        if byteLevel { ByteAlphabet.decode(spelled, into: &bytes) } else { SpaceMark.decode(spelled.span, into: &bytes) }
    }
}

/// Which bytes stand side by side somewhere: one bit for each of the 65,536 pairs.
struct BytePairSet: Sendable {
    private var bits = [UInt64](repeating: 0, count: 1024)

    mutating func insert(_ text: Span<UInt8>) {
        for index in 1..<max(text.count, 1) {
            let pair = Int(text[index - 1]) << 8 | Int(text[index])
            bits[pair >> 6] |= 1 << UInt64(pair & 63)
        }
    }

    func contains(_ first: UInt8, _ second: UInt8) -> Bool {
        let pair = Int(first) << 8 | Int(second)
        return bits[pair >> 6] >> UInt64(pair & 63) & 1 == 1
    }
}
