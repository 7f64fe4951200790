internal import Weights

/// `tokenizer.json` as its scanner meets it, and then as a ``TokenizerSpec``.
///
/// Vocabulary and merges are taken byte by byte: a dictionary of strings would merge canonically equivalent pieces.
struct TokenizerFile {
    let place: String
    private var modelType: String?
    private var keys = ByteStrings()  // of the vocabulary, in the order of the file
    private var ids: [Int] = []  // of keys
    private var merges = ByteStrings()
    private var mergeCount: Int?
    private var unknown: [UInt8]?
    private var byteFallback = false
    private var ignoresMerges = false
    private var added: [TokenizerSpec.AddedToken] = []
    private var normalizer = JSONValue.null, preTokenizer = JSONValue.null, postProcessor = JSONValue.null

    init(place: String) { self.place = place }

    // MARK: reading

    mutating func read(_ scanner: inout JSONScanner) throws {
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("model") {
                try readModel(&scanner)
            } else if scanner.keyIs("added_tokens") {
                try readAdded(&scanner)
            } else if scanner.keyIs("normalizer") {
                normalizer = try smallValue(&scanner)
            } else if scanner.keyIs("pre_tokenizer") {
                preTokenizer = try smallValue(&scanner)
            } else if scanner.keyIs("post_processor") {
                postProcessor = try smallValue(&scanner)
            } else {
                try scanner.skip()
            }
        }
        try scanner.finish()
    }

    /// A tree takes many times the memory of its text, so its text must be short.
    private func smallValue(_ scanner: inout JSONScanner) throws -> JSONValue {
        var ahead = scanner
        try ahead.skip()
        guard ahead.position - scanner.position <= Limits.tokenizerStepBytes else {
            throw ModelError(
                .outOfRange, at: place, "has a \(scanner.keyText) of \(ahead.position - scanner.position) bytes",
                hint: "at most \(Limits.tokenizerStepBytes)")
        }
        return try scanner.readValue()
    }

    private mutating func readModel(_ scanner: inout JSONScanner) throws {
        guard try scanner.peek() == .object else { throw ModelError(.malformed, at: place, "has no model object") }
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("vocab") {
                guard try scanner.peek() == .object else {
                    throw ModelError(.unsupported, at: place, "has a vocabulary that is a list", hint: "BPE vocabularies are read")
                }
                try readVocabulary(&scanner)
            } else if scanner.keyIs("merges") {
                try readMerges(&scanner)
            } else if scanner.keyIs("type") {
                modelType = try scanner.readString()
                if let modelType, modelType != "BPE" {
                    throw ModelError(
                        .unsupported, at: place, "has the tokenizer model \(ModelError.quoted(modelType))", hint: "BPE is read")
                }
            } else if scanner.keyIs("unk_token"), try scanner.peek() == .string {
                unknown = try scanner.readBytes()
            } else if scanner.keyIs("byte_fallback"), try scanner.peek() == .bool {
                byteFallback = try scanner.readBool()
            } else if scanner.keyIs("ignore_merges"), try scanner.peek() == .bool {
                ignoresMerges = try scanner.readBool()
            } else if scanner.keyIs("continuing_subword_prefix") || scanner.keyIs("end_of_word_suffix"), try scanner.peek() == .string {
                let key = scanner.keyText
                guard try scanner.readBytes().isEmpty else {
                    throw ModelError(.unsupported, at: place, "has a \(key), which LMX does not apply")
                }
            } else if scanner.keyIs("dropout"), try scanner.peek() == .number {
                guard try scanner.readNumber().double == 0 else {
                    throw ModelError(.unsupported, at: place, "has a dropout: its encoding is random")
                }
            } else {
                try scanner.skip()
            }
        }
    }

    private mutating func readVocabulary(_ scanner: inout JSONScanner) throws {
        try scanner.beginObject()
        while try scanner.nextKey() {
            guard ids.count < Limits.vocabulary.upperBound else {
                throw ModelError(.outOfRange, at: place, "has more than \(Limits.vocabulary.upperBound) pieces")
            }
            scanner.appendKey(to: &keys)
            ids.append(try scanner.readInt())
        }
    }

    private mutating func readMerges(_ scanner: inout JSONScanner) throws {
        mergeCount = 0
        try scanner.beginArray()
        while try scanner.nextElement() {
            if try scanner.peek() == .array {
                try scanner.appendPair(to: &merges)
            } else {
                try scanner.appendString(to: &merges)
            }
        }
    }

    private mutating func readAdded(_ scanner: inout JSONScanner) throws {
        try scanner.beginArray()
        while try scanner.nextElement() {
            var token = TokenizerSpec.AddedToken(id: -1, content: [], special: false)
            token.normalized = true  // what an absent flag means, for tokens that are not special
            try scanner.beginObject()
            while try scanner.nextKey() {
                if scanner.keyIs("id") {
                    token.id = try scanner.readInt()
                } else if scanner.keyIs("content") {
                    token.content = try scanner.readBytes()
                } else if scanner.keyIs("special") {
                    token.special = try scanner.readBool()
                } else if scanner.keyIs("lstrip") {
                    token.stripsLeft = try scanner.readBool()
                } else if scanner.keyIs("rstrip") {
                    token.stripsRight = try scanner.readBool()
                } else if scanner.keyIs("single_word") {
                    token.singleWord = try scanner.readBool()
                } else if scanner.keyIs("normalized") {
                    token.normalized = try scanner.readBool()
                } else {
                    try scanner.skip()
                }
            }
            guard token.id >= 0 else { throw ModelError(.malformed, at: place, "has an added token without id") }
            guard !token.content.isEmpty else { throw ModelError(.malformed, at: place, "has an empty added token, \(token.id)") }
            added.append(token)
            guard added.count <= Limits.addedTokens else {
                throw ModelError(.outOfRange, at: place, "has more than \(Limits.addedTokens) added tokens")
            }
        }
    }

    // MARK: the specification

    /// - Parameter limit: pieces with an id of at least this are left out.
    func spec(atMost limit: Int) throws(ModelError) -> TokenizerSpec {
        guard !ids.isEmpty else { throw ModelError(.missing, at: place, "has no vocabulary") }
        guard mergeCount != nil else {
            throw ModelError(.unsupported, at: place, "has no merges", hint: "BPE vocabularies are read")
        }
        let steps = try TokenizerSteps(normalizer: normalizer, preTokenizer: preTokenizer, postProcessor: postProcessor, place: place)
        var spec = TokenizerSpec(algorithm: steps.algorithm, preTokenizer: steps.preTokenizer)
        spec.addsSpacePrefix = steps.addsSpacePrefix
        spec.spacePrefixOnlyAtStart = steps.spacePrefixOnlyAtStart
        spec.spacePrefixYieldsToSpace = steps.spacePrefixYieldsToSpace
        spec.composesUnicode = steps.composesUnicode
        spec.ignoresMerges = ignoresMerges
        spec.merges = merges
        spec.addedTokens = added.filter { $0.id < limit }
        try fillPieces(&spec, atMost: limit)
        spec.addsBOS = steps.begin != nil
        spec.addsEOS = steps.end != nil
        spec.bos = try steps.begin.map { (id) throws(ModelError) in try checked(id, spec) }
        spec.eos = try steps.end.map { (id) throws(ModelError) in try checked(id, spec) }
        return spec
    }

    private func checked(_ id: Int, _ spec: TokenizerSpec) throws(ModelError) -> Int {
        guard spec.pieces.indices.contains(id) else {
            throw ModelError(.outOfRange, at: place, "post_processor adds the id \(id), the vocabulary has \(spec.pieces.count) pieces")
        }
        return id
    }

    private func fillPieces(_ spec: inout TokenizerSpec, atMost limit: Int) throws(ModelError) {
        let highest = Swift.max(ids.max() ?? 0, added.reduce(0) { Swift.max($0, $1.id) })
        // Some vocabularies have holes, but an id far beyond the number of pieces would only cost memory.
        guard (ids.min() ?? 0) >= 0, highest < 2 * (ids.count + added.count) + 65_536, highest < Limits.vocabulary.upperBound else {
            throw ModelError(.outOfRange, at: place, "has an id of \(highest) or below 0 among \(ids.count + added.count) pieces")
        }
        let count = Swift.min(highest + 1, limit)
        var sources = Array(repeating: 0, count: highest + 1)  // by id: 0 none, n > 0 key n − 1, n < 0 added token −n − 1
        for (index, id) in ids.enumerated() {
            guard sources[id] == 0 else {
                throw ModelError(
                    .malformed, at: place,
                    "gives the id \(id) to \(ModelError.quoted(keys[sources[id] - 1])) and to \(ModelError.quoted(keys[index]))")
            }
            sources[id] = index + 1
        }
        for (index, token) in added.enumerated() {
            let source = sources[token.id]
            if source == 0 {
                sources[token.id] = -index - 1
            } else {
                let other = source > 0 ? Array(keys[source - 1]) : added[-source - 1].content
                guard other == token.content else {
                    throw ModelError(
                        .mismatched, at: place,
                        "gives the id \(token.id) to \(ModelError.quoted(other)) and to the added token \(ModelError.quoted(token.content))")
                }
            }
        }
        spec.pieces.reserve(strings: count, bytes: keys.bytes.count)
        spec.kinds = Array(repeating: .normal, count: count)
        for id in 0..<count {
            switch sources[id] {
            case 0:
                spec.pieces.append(EmptyCollection())
                spec.kinds[id] = .unused
            case let source where source > 0:
                spec.pieces.append(keys[source - 1])
                if byteFallback, Self.isByte(keys[source - 1]) { spec.kinds[id] = .byte }
            case let source: spec.pieces.append(added[-source - 1].content)
            }
        }
        for token in spec.addedTokens { spec.kinds[token.id] = token.special ? .control : .userDefined }
        if let unknown, let index = keys.firstIndex(where: { $0.elementsEqual(unknown) }), ids[index] < count {
            spec.unknown = ids[index]
            spec.kinds[ids[index]] = .unknown
        }
    }

    /// `<0xNN>`, with exactly two hexadecimal digits.
    private static func isByte(_ piece: ArraySlice<UInt8>) -> Bool {
        guard piece.count == 6, piece.starts(with: "<0x".utf8), piece.last == UInt8(ascii: ">") else { return false }
        return piece.dropFirst(3).prefix(2).allSatisfy { ($0 &- 48) < 10 || (($0 | 0x20) &- 97) < 6 }
    }
}
