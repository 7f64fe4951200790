import Formats
import TestSupport
import Testing
import Weights

/// `tokenizer.json` and the files beside it.
@Suite struct TokenizerReadingTests {
    /// Parts of a tokenizer.json, each of which a test can replace.
    private struct Parts {
        var vocab = #"{"a":0,"b":1,"ab":2,"<|end|>":3}"#
        var merges = #"["a b"]"#
        var added = #"[{"id":3,"content":"<|end|>","special":true},{"id":4,"content":"<x>","special":false,"lstrip":true,"rstrip":true,"single_word":true,"normalized":false}]"#
        var normalizer = "null"
        var pre = #"{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]}"#
        var post = "null"
        var model = ""
        var files: [String: String] = [:]
        var config = #"{"model_type":"llama"}"#

        var text: String {
            #"{"version":"1.0","added_tokens":\#(added),"normalizer":\#(normalizer),"pre_tokenizer":\#(pre),"post_processor":\#(post),"#
                + #""model":{"type":"BPE","vocab":\#(vocab),"merges":\#(merges)\#(model)}}"#
        }
    }

    private func spec(rows: Int? = nil, _ change: (inout Parts) -> Void = { _ in }) throws -> TokenizerSpec {
        var parts = Parts()
        change(&parts)
        let folder = TemporaryFolder()
        folder.write(parts.text, to: "tokenizer.json")
        folder.write(parts.config, to: "config.json")
        for (name, text) in parts.files { folder.write(text, to: name) }
        var file = SafetensorsBuilder()
        if let rows { file.add("model.embed_tokens.weight", "F16", [rows, 1], [UInt8](repeating: 0, count: 2 * rows)) }
        folder.write(file.bytes(), to: "model.safetensors")
        return try #require(try ModelSources.open(folder.path).tokenizer)
    }

    private func refusal(_ change: (inout Parts) -> Void) -> ModelError? { #expect(throws: ModelError.self) { try spec(change) } }

    private func text(_ strings: ByteStrings) -> [String] { strings.map { String(decoding: $0, as: UTF8.self) } }

    @Test func aByteLevelVocabularyIsRead() throws {
        let spec = try spec()
        #expect(spec.algorithm == .byteLevelPairs && spec.preTokenizer == .smollm)
        #expect(text(spec.pieces) == ["a", "b", "ab", "<|end|>", "<x>"] && text(spec.merges) == ["a b"])
        #expect(spec.kinds == [.normal, .normal, .normal, .control, .userDefined])
        var second = TokenizerSpec.AddedToken(id: 4, content: Array("<x>".utf8), special: false)
        (second.stripsLeft, second.stripsRight, second.singleWord) = (true, true, true)
        #expect(spec.addedTokens.count == 2 && spec.addedTokens.last == second)
        #expect(spec.endOfGeneration == [3] && spec.bos == nil && !spec.addsBOS)
    }

    @Test func mergesAreReadInBothSpellings() throws {
        #expect(text(try spec { $0.merges = #"[["a","b"],["ab","a"]]"# }.merges) == ["a b", "ab a"])
        #expect(refusal { $0.merges = #"[["a"]]"# }?.kind == .malformed)
        #expect(refusal { $0.merges = #"[["a","b","c"]]"# }?.kind == .malformed)
        #expect(refusal { $0.merges = "[1]" }?.kind == .malformed)
        #expect(refusal { $0.merges = "{}" }?.kind == .malformed)
    }

    /// A dictionary of Swift strings would hold two of these three.
    @Test func canonicallyEquivalentPiecesStayApart() throws {
        let spec = try spec { $0.vocab = "{\"\u{E9}\":0,\"e\u{301}\":1,\"\\u00e8\":2}" }
        #expect(spec.pieces.prefix(3).map { Array($0) } == [[0xC3, 0xA9], [0x65, 0xCC, 0x81], [0xC3, 0xA8]])
    }

    @Test func idsThatContradictEachOtherAreRefused() {
        #expect(refusal { $0.vocab = #"{"a":0,"a":1}"# }?.kind == .malformed)
        #expect(refusal { $0.vocab = #"{"a":0,"b":0}"# }?.problem.contains("the id 0") == true)
        #expect(refusal { $0.vocab = #"{"a":0,"b":3}"# }?.kind == .mismatched)
        #expect(refusal { $0.vocab = #"{"a":-1}"# }?.kind == .outOfRange)
        #expect(refusal { $0.vocab = #"{"a":4000000000}"# }?.kind == .outOfRange)
        #expect(refusal { $0.vocab = #"{"a":9223372036854775807}"# }?.kind == .outOfRange)
        #expect(refusal { $0.vocab = #"{"a":1.5}"# }?.kind == .malformed)
        #expect(refusal { $0.vocab = "{}" }?.kind == .missing)
        #expect(refusal { $0.added = #"[{"id":4294967296,"content":"x"}]"# }?.kind == .outOfRange)
        #expect(refusal { $0.added = #"[{"id":9,"content":""}]"# }?.kind == .malformed)
        #expect(refusal { $0.added = #"[{"content":"x"}]"# }?.kind == .malformed)
        #expect(refusal { $0.added = #"[{"id":8,"content":"x"},{"id":8,"content":"y"}]"# }?.kind == .mismatched)
    }

    @Test func holesBecomeUnusedPieces() throws {
        let spec = try spec { $0.added = #"[{"id":7,"content":"<x>","special":true}]"# }
        #expect(spec.pieces.count == 8 && spec.kinds[5] == .unused && spec.pieces[5].isEmpty && spec.kinds[7] == .control)
    }

    /// Gemma 3's text models have one piece more, of images, than their embedding has rows.
    @Test func piecesBeyondTheEmbeddingAreLeftOut() throws {
        let spec = try spec(rows: 4)
        #expect(spec.pieces.count == 4 && spec.addedTokens.map(\.id) == [3])
    }

    @Test(arguments: [
        (#"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"#, .gpt2),
        (#"{"type":"ByteLevel","add_prefix_space":false}"#, .gpt2),
        (
            #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#,
            .llamaBPE
        ),
        (
            #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Removed","invert":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#,
            .qwen2
        ),
        (
            #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"[\r\n]"},"behavior":"Isolated","invert":false},{"type":"Split","pattern":{"Regex":"\\s?\\p{L}+"},"behavior":"Isolated","invert":false},{"type":"Split","pattern":{"Regex":"\\s?\\p{P}+"},"behavior":"Isolated","invert":false},{"type":"Split","pattern":{"Regex":"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"},"behavior":"Isolated","invert":false},{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}"#,
            .deepseekCoder
        ),
        (
            #"{"type":"Sequence","pretokenizers":[{"type":"Punctuation","behavior":"Contiguous"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},{"type":"Digits","individual_digits":false},{"type":"Split","pattern":{"Regex":"[0-9][0-9][0-9]"},"behavior":"Isolated","invert":false}]}"#,
            .falcon
        ),
    ] as [(String, TokenizerSpec.PreTokenizer)])
    func publishedPatternsAreRecognised(_ pre: String, _ expected: TokenizerSpec.PreTokenizer) throws {
        let spec = try spec { $0.pre = pre }
        #expect(spec.algorithm == .byteLevelPairs && spec.preTokenizer == expected)
    }

    @Test func aPatternThatIsNotKnownIsQuoted() {
        let error = refusal {
            $0.pre = #"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated"},{"type":"ByteLevel","use_regex":false}]}"#
        }
        #expect(error?.kind == .unsupported && error?.problem.contains("\"(a+)+$\"") == true)
    }

    @Test(arguments: [
        #"{"type":"Whitespace"}"#, #"{"type":"ByteLevel","add_prefix_space":true}"#, #"{"type":"BertPreTokenizer"}"#, #"{"type":"Sequence"}"#, "null",
        #"{"type":"Metaspace","replacement":"_","split":false}"#, #"{"type":"Metaspace","replacement":"▁"}"#, "3", #"[{"type":"ByteLevel"}]"#,
        #"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits","individual_digits":true}]}"#,
    ])
    func otherPreTokenizersAreRefused(_ pre: String) { #expect(refusal { $0.pre = pre } != nil) }

    @Test(arguments: [#"{"type":"Lowercase"}"#, #"{"type":"NFKC"}"#, #"{"type":"Replace","pattern":{"String":" "},"content":""}"#, #"{"type":"Replace","pattern":{"Regex":" "},"content":"▁"}"#, "7"])
    func otherNormalizersAreRefused(_ normalizer: String) { #expect(refusal { $0.normalizer = normalizer }?.kind == .unsupported) }

    @Test func sequencesNestOnlySoDeep() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: #"{"type":"Sequence","normalizers":["#, count: depth) + #"{"type":"NFC"}"# + String(repeating: "]}", count: depth)
        }
        #expect(try spec { $0.normalizer = nested(Limits.tokenizerNesting - 1) }.composesUnicode)
        #expect(refusal { $0.normalizer = nested(Limits.tokenizerNesting) }?.kind == .outOfRange)
        #expect(refusal { $0.normalizer = nested(200) }?.kind == .malformed)  // the JSON reader's own cap
    }

    @Test func sentencePieceVocabulariesAreRecognised() throws {
        let replace = #"{"type":"Replace","pattern":{"String":" "},"content":"▁"}"#
        let vocab = #"{"<unk>":0,"▁":1,"<0x41>":2,"<0xZZ>":3}"#, added = #"[{"id":0,"content":"<unk>","special":true}]"#
        func spec(_ normalizer: String, _ pre: String) throws -> TokenizerSpec {
            try self.spec { parts in
                (parts.vocab, parts.added, parts.merges) = (vocab, added, "[]")
                (parts.normalizer, parts.pre, parts.model) = (normalizer, pre, #","unk_token":"<unk>","byte_fallback":true"#)
            }
        }
        let gemma = try spec(replace, #"{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false}"#)
        #expect(gemma.algorithm == .rankedPairs && gemma.preTokenizer == .none && !gemma.addsSpacePrefix)
        #expect(gemma.kinds == [.unknown, .normal, .byte, .normal] && gemma.unknown == 0)
        let llama = try spec(#"{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},\#(replace)]}"#, "null")
        #expect(llama.algorithm == .rankedPairs && llama.addsSpacePrefix && !llama.spacePrefixYieldsToSpace)
        let first = try spec("null", #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}"#)
        #expect(first.addsSpacePrefix && first.spacePrefixOnlyAtStart && first.spacePrefixYieldsToSpace)
        let never = try spec("null", #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false}"#)
        #expect(!never.addsSpacePrefix)
    }

    @Test func modelsOtherThanBPEAreRefusedByName() {
        for type in ["Unigram", "WordPiece", "WordLevel"] {
            #expect(refusal { $0.model = #","type2":0"#; $0.vocab = "{}"; $0.merges = #"[],"type":"\#(type)""# } != nil)
        }
        #expect(refusal { $0.vocab = #"[["a",0.0]]"# }?.kind == .unsupported)
        #expect(refusal { $0.model = #","end_of_word_suffix":"</w>""# }?.problem.contains("end_of_word_suffix") == true)
        #expect(refusal { $0.model = #","dropout":0.1"# }?.kind == .unsupported)
        #expect(throws: Never.self) { try spec { $0.model = #","dropout":null,"continuing_subword_prefix":"","end_of_word_suffix":null"# } }
    }

    @Test func aTemplateOfOneTokenOnEachSideAddsThem() throws {
        func template(_ single: String) -> String {
            #"{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing","single":\#(single),"special_tokens":{"s":{"id":"s","ids":[3],"tokens":["s"]},"far":{"id":"far","ids":[99],"tokens":["far"]}}}]}"#
        }
        let token = #"{"SpecialToken":{"id":"s","type_id":0}}"#, text = #"{"Sequence":{"id":"A","type_id":0}}"#
        let both = try spec { $0.post = template("[\(token),\(text),\(token)]") }
        #expect(both.addsBOS && both.addsEOS && both.bos == 3 && both.eos == 3)
        let none = try spec { $0.post = template("[\(text)]") }
        #expect(!none.addsBOS && !none.addsEOS)
        #expect(refusal { $0.post = template("[\(token),\(token),\(text)]") }?.kind == .unsupported)
        #expect(refusal { $0.post = template(#"[{"SpecialToken":{"id":"unknown","type_id":0}}]"#) }?.kind == .unsupported)
        #expect(refusal { $0.post = template(#"[{"SpecialToken":{"id":"far","type_id":0}},\#(text)]"#) }?.kind == .outOfRange)
        #expect(refusal { $0.post = #"{"type":"BertProcessing"}"# }?.kind == .unsupported)
        // the configuration has the last word
        let off = try spec {
            $0.post = template("[\(token),\(text)]")
            $0.files["tokenizer_config.json"] = #"{"add_bos_token":false}"#
        }
        #expect(!off.addsBOS && off.bos == 3)
    }

    @Test func theEndsOfAnAnswerAreCollected() throws {
        let spec = try spec {
            $0.config = #"{"model_type":"llama","eos_token_id":1,"bos_token_id":0,"pad_token_id":2}"#
            $0.files["generation_config.json"] = #"{"eos_token_id":[2,0]}"#
            $0.files["tokenizer_config.json"] = #"{"eos_token":{"content":"b","lstrip":false},"add_bos_token":true}"#
        }
        #expect(spec.eos == 1 && spec.endOfGeneration == [2, 0, 1, 3])  // listed, then eos, then the well-known piece
        #expect(spec.bos == 0 && spec.addsBOS && spec.padding == 2)
        #expect(try self.spec { $0.config = #"{"model_type":"llama","eos_token_id":1}"# }.endOfGeneration == [1, 3])
        #expect(try self.spec { $0.files["special_tokens_map.json"] = #"{"eos_token":"ab"}"# }.eos == 2)
        #expect(refusal { $0.files["generation_config.json"] = #"{"eos_token_id":99}"# }?.kind == .outOfRange)
        #expect(refusal { $0.files["generation_config.json"] = #"{"eos_token_id":-1}"# }?.kind == .outOfRange)
        #expect(refusal { $0.files["generation_config.json"] = "[" }?.kind == .malformed)
    }

    @Test func chatTemplatesComeFromWhicheverFileHasThem() throws {
        let text = try spec { $0.files["tokenizer_config.json"] = #"{"chat_template":"one"}"# }
        #expect(text.chatTemplate == "one")
        let list = try spec {
            $0.files["tokenizer_config.json"] = #"{"chat_template":[{"name":"default","template":"one"},{"name":"tool_use","template":"two"}]}"#
        }
        #expect(list.chatTemplate == "one" && list.namedTemplates["tool_use"] == "two")
        let file = try spec {
            $0.files["tokenizer_config.json"] = #"{"chat_template":"one"}"#
            $0.files["chat_template.jinja"] = "three\n"
        }
        #expect(file.chatTemplate == "three\n")
        #expect(try spec { $0.files["chat_template.json"] = #"{"chat_template":"four"}"# }.chatTemplate == "four")
        let long = String(repeating: "x", count: Limits.templateBytes + 1)
        #expect(refusal { $0.files["chat_template.jinja"] = long }?.kind == .outOfRange)
        #expect(refusal { $0.files["tokenizer_config.json"] = #"{"chat_template":"\#(long)"}"# }?.kind == .outOfRange)
    }

    /// One below, one above.
    @Test func limitsHaveEdges() throws {
        func added(_ count: Int) -> String {
            "[" + (0..<count).map { #"{"id":\#($0 + 4),"content":"<\#($0)>","special":true}"# }.joined(separator: ",") + "]"
        }
        #expect(try spec { $0.added = added(Limits.addedTokens) }.addedTokens.count == Limits.addedTokens)
        #expect(refusal { $0.added = added(Limits.addedTokens + 1) }?.kind == .outOfRange)
        let space = String(repeating: " ", count: Limits.tokenizerStepBytes)
        #expect(throws: Never.self) { try spec { $0.normalizer = "{\(space.dropLast(20))\"type\":\"NFC\"}" } }
        #expect(refusal { $0.normalizer = "{\(space)\"type\":\"NFC\"}" }?.kind == .outOfRange)
    }

    // MARK: the same vocabulary through two formats

    @Test(arguments: ["llama", "smollm2", "qwen2", "qwen3"])
    func bothFormatsOfAByteLevelVocabularyAgree(_ model: String) throws {
        let folder = Corpus.testdata + "/tiny/\(model)"
        let name = try #require(Corpus.names(in: folder + "/gguf").first)
        let left = try #require(try ModelSources.open(folder + "/hf").tokenizer)
        let right = try #require(try ModelSources.open(folder + "/gguf/" + name).tokenizer)
        #expect(left.pieces == right.pieces && left.kinds == right.kinds && left.merges == right.merges)
        #expect(left.algorithm == right.algorithm && left.preTokenizer == right.preTokenizer)
        #expect(left.addedTokens == right.addedTokens && Set(left.endOfGeneration) == Set(right.endOfGeneration))
        #expect(left.bos == right.bos || right.addsBOS == false)
        #expect(left.eos == right.eos && left.addsBOS == right.addsBOS && left.addsEOS == right.addsEOS)
        #expect(left.composesUnicode == right.composesUnicode && left.ignoresMerges == right.ignoresMerges)
        #expect(left.chatTemplate == right.chatTemplate && left.chatTemplate != nil)
    }

    @Test(arguments: ["mistral", "gemma3"])
    func bothFormatsOfASentencePieceVocabularyAgree(_ model: String) throws {
        let folder = Corpus.testdata + "/tiny/\(model)"
        let name = try #require(Corpus.names(in: folder + "/gguf").first)
        let left = try #require(try ModelSources.open(folder + "/hf").tokenizer)
        let right = try #require(try ModelSources.open(folder + "/gguf/" + name).tokenizer)
        #expect(left.algorithm == .rankedPairs && right.algorithm == .scoredPairs)
        #expect(left.pieces == right.pieces && right.scores.count == right.pieces.count)
        #expect(left.addsSpacePrefix == right.addsSpacePrefix && left.addsBOS == right.addsBOS)
        #expect(left.bos == right.bos && left.eos == right.eos && Set(left.endOfGeneration) == Set(right.endOfGeneration))
    }
}
