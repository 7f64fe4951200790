internal import Weights

/// What `tokenizer.json` does before and after its model, recognised: normalizer, pre-tokenizer, post-processor.
///
/// A file's patterns are never run. The published ones are known by their text and implemented by hand; any other is refused.
struct TokenizerSteps {
    private(set) var algorithm = TokenizerSpec.Algorithm.rankedPairs
    private(set) var preTokenizer = TokenizerSpec.PreTokenizer.none
    private(set) var addsSpacePrefix = false
    private(set) var spacePrefixOnlyAtStart = false
    private(set) var spacePrefixYieldsToSpace = false
    private(set) var composesUnicode = false
    private(set) var begin: Int?  // the id put before every text
    private(set) var end: Int?  // and after it

    private let place: String
    private var marksSpaces = false  // by a normalizer or by Metaspace

    init(normalizer: JSONValue, preTokenizer: JSONValue, postProcessor: JSONValue, place: String) throws(ModelError) {
        self.place = place
        for step in try Self.steps(normalizer, list: "normalizers", place) { try normalize(step) }
        try split(try Self.steps(preTokenizer, list: "pretokenizers", place))
        for step in try Self.steps(postProcessor, list: "processors", place) { try finish(step) }
        if algorithm == .rankedPairs, !marksSpaces {
            throw ModelError(
                .unsupported, at: place, "has a tokenizer that neither spells bytes nor marks spaces",
                hint: "byte-level BPE and SentencePiece-style BPE are read")
        }
        if algorithm == .byteLevelPairs, marksSpaces {
            throw ModelError(.unsupported, at: place, "spells bytes and marks spaces too")
        }
    }

    /// A step, or the members of (nested) sequences of them.
    private static func steps(_ value: JSONValue, list: String, _ place: String, depth: Int = 1) throws(ModelError) -> [JSONValue] {
        guard depth <= Limits.tokenizerNesting else {
            throw ModelError(.outOfRange, at: place, "nests sequences more than \(Limits.tokenizerNesting) deep")
        }
        if value == .null { return [] }
        guard case .string("Sequence")? = value["type"] else { return [value] }
        guard case .array(let members)? = value[list] else {
            throw ModelError(.malformed, at: place, "has a sequence without \(list)")
        }
        var steps: [JSONValue] = []
        for member in members { steps += try self.steps(member, list: list, place, depth: depth + 1) }
        return steps
    }

    private func refused(_ what: String, _ step: JSONValue) -> ModelError {
        ModelError(.unsupported, at: place, "has a \(what) that LMX does not know: \(ModelError.quoted(step.serialized()))")
    }

    private static let space = JSONValue.object(["String": .string(" ")]), mark = JSONValue.string("▁")

    // MARK: normalizer

    private mutating func normalize(_ step: JSONValue) throws(ModelError) {
        switch step["type"] {
        case .string("NFC")?: composesUnicode = true
        case .string("Prepend")? where step["prepend"] == Self.mark: addsSpacePrefix = true
        case .string("Replace")? where step["pattern"] == Self.space && step["content"] == Self.mark: marksSpaces = true
        default: throw refused("normalizer", step)
        }
    }

    // MARK: pre-tokenizer

    private mutating func split(_ steps: [JSONValue]) throws(ModelError) {
        var known: [String] = []  // what the steps do, as words to be looked up
        for step in steps {
            switch step["type"] {
            case .string("ByteLevel")?:
                algorithm = .byteLevelPairs
                if step["add_prefix_space"] == .bool(true) { throw refused("pre-tokenizer", step) }
                known.append(step["use_regex"] == .bool(false) ? "bytes" : "gpt2 bytes")
            case .string("Digits")?: known.append(step["individual_digits"] == .bool(true) ? "digit" : "digits")
            case .string("Punctuation")?: known.append("punctuation \(step["behavior"]?.serialized() ?? "")")
            case .string("Metaspace")?: try metaspace(step)
            case .string("Split")?: if let word = try pattern(step) { known.append(word) }
            default: throw refused("pre-tokenizer", step)
            }
        }
        let words = known.joined(separator: ", ")
        guard algorithm == .byteLevelPairs else {
            guard known.isEmpty else { throw refused("sequence of pre-tokenizers", .array(steps)) }
            return
        }
        guard let name = PreTokenizerPatterns.sequences[words] else { throw refused("sequence of pre-tokenizers", .array(steps)) }
        preTokenizer = name
    }

    private mutating func metaspace(_ step: JSONValue) throws(ModelError) {
        guard step["replacement"] == Self.mark else { throw refused("pre-tokenizer", step) }
        if step["split"] != .bool(false) {
            // Text is cut before every ▁, so that no merge crosses one.
            throw ModelError(.unsupported, at: place, "has a Metaspace pre-tokenizer that splits words", hint: "\"split\": false is read")
        }
        marksSpaces = true
        spacePrefixYieldsToSpace = true
        switch step["prepend_scheme"] {
        case .string("never")?: break
        case .string("always")?: addsSpacePrefix = true
        case .string("first")?: (addsSpacePrefix, spacePrefixOnlyAtStart) = (true, true)
        default: addsSpacePrefix = step["add_prefix_space"] != .bool(false)
        }
    }

    /// The word for a split pattern; nil where the split does nothing.
    private func pattern(_ step: JSONValue) throws(ModelError) -> String? {
        if step["pattern"] == Self.space, marksSpaces { return nil }  // no space is left to split at
        guard case .string(let text)? = step["pattern"]?["Regex"] else { throw refused("pre-tokenizer", step) }
        guard text.utf8.count <= Limits.tokenizerPatternBytes, let word = PreTokenizerPatterns.words[Array(text.utf8)] else {
            throw ModelError(
                .unsupported, at: place, "splits text by a pattern that LMX does not carry: \(ModelError.quoted(text))",
                hint: "file patterns are never run; the published ones are built in")
        }
        let isWhole = PreTokenizerPatterns.coversEverything.contains(word)
        switch (step["behavior"], step["invert"]) {
        case (.string("Isolated")?, .bool(false)?), (.string("Isolated")?, nil): return word
        case (.string("Removed")?, .bool(true)?) where isWhole: return word  // the pattern leaves no gaps, so it is the same
        default: throw refused("pre-tokenizer", step)
        }
    }

    // MARK: post-processor

    private mutating func finish(_ step: JSONValue) throws(ModelError) {
        switch step["type"] {
        case .string("ByteLevel")?: return  // trims offsets, adds nothing
        case .string("TemplateProcessing")?: break
        default: throw refused("post-processor", step)
        }
        guard case .array(let parts)? = step["single"] else { throw refused("post-processor", step) }
        var isAfter = false
        for part in parts {
            if part["Sequence"] != nil {
                isAfter = true
                continue
            }
            guard case .string(let name)? = part["SpecialToken"]?["id"],
                case .array(let ids)? = step["special_tokens"]?[name]?["ids"], ids.count == 1, case .int(let id) = ids[0],
                isAfter ? end == nil : begin == nil
            else { throw refused("post-processor", step) }
            if isAfter { end = id } else { begin = id }
        }
    }
}
