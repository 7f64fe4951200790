import Formats
import TestSupport
import Testing
import Text
import Weights

/// The recorded vocabularies in testdata/tokenizers, and what the reference makes of the texts there.
enum TokenizerFiles {
    static let folder = Corpus.testdata + "/tokenizers"

    /// The little vocabularies, one for each way of cutting text into words.
    static let little = Corpus.names(in: folder).filter { Corpus.bytes(of: "\(folder)/\($0)/tokenizer.json") != nil }

    static let texts: [String] = {
        guard case .array(let texts)? = json("texts.json") else { return [] }
        return texts.compactMap { if case .string(let text) = $0 { text } else { nil } }
    }()

    /// What the reference makes of some of the texts.
    struct Expected {
        let texts: [String]
        let ids: [[Int32]]  // control tokens read
        let plain: [Int: [Int32]]  // control tokens not read, where that makes a difference
        let decoded: [Int: String]  // of ids, where it is not the text again
    }

    static func expected(_ name: String) throws -> Expected {
        let file = try #require(json(name + "/expected.json"))
        let count = try #require(int(file["texts"]))
        let longest = try #require(int(file["longest"]))
        let chosen = texts.prefix(count).filter { $0.utf8.count <= longest }
        let expected = Expected(
            texts: chosen, ids: rows(file["ids"]), plain: byIndex(file["plain"]).mapValues(ids),
            decoded: byIndex(file["decoded"]).compactMapValues { if case .string(let text) = $0 { text } else { nil } })
        try #require(expected.texts.count == expected.ids.count && expected.texts.count >= 1500)
        return expected
    }

    /// Texts and ids of a real vocabulary.
    static func real(_ name: String) throws -> (texts: [String], ids: [[Int32]]) {
        let file = try #require(json("real/\(name).json"))
        let leftOut = Set(ids(try #require(file["leftOut"])))
        let texts = texts.enumerated().filter { !leftOut.contains(Int32($0.offset)) }.map(\.element)
        let ids = rows(file["ids"])
        try #require(texts.count == ids.count && texts.count >= 5000)
        return (texts, ids)
    }

    /// A little vocabulary as the adapter reads it, in a folder made to look like a model's.
    static func spec(_ name: String) throws -> TokenizerSpec {
        let folder = TemporaryFolder()
        var weights = SafetensorsBuilder()
        weights.add("x", "F32", [1], [0, 0, 0, 0])
        folder.write(weights.bytes(), to: "model.safetensors")
        folder.write(#"{"model_type":"llama","num_hidden_layers":1}"#, to: "config.json")
        folder.write(try #require(Corpus.bytes(of: "\(Self.folder)/\(name)/tokenizer.json")), to: "tokenizer.json")
        return try #require(try ModelSources.open(folder.path).tokenizer)
    }

    private static func json(_ name: String) -> JSONValue? {
        Corpus.bytes(of: "\(folder)/\(name)").flatMap { try? JSONValue.parse($0) }
    }

    private static func int(_ value: JSONValue?) -> Int? { if case .int(let int)? = value { int } else { nil } }

    private static func ids(_ value: JSONValue) -> [Int32] {
        guard case .array(let values) = value else { return [] }
        return values.compactMap { int($0).map(Int32.init) }
    }

    private static func rows(_ value: JSONValue?) -> [[Int32]] {
        if case .array(let rows)? = value { rows.map(ids) } else { [] }
    }

    private static func byIndex(_ value: JSONValue?) -> [Int: JSONValue] {
        guard case .object(let members)? = value else { return [:] }
        return Dictionary(members.compactMap { member in Int(member.key).map { ($0, member.value) } }, uniquingKeysWith: { $1 })
    }
}

extension Tokenizer {
    /// Decoded ids as text, what is not UTF-8 replaced.
    func text(_ ids: [Int32], special: Bool = false, continuing: Bool = false) -> String {
        String(decoding: decode(ids, special: special, continuing: continuing), as: UTF8.self)
    }

    /// The same id by id, through the stream decoder.
    func streamed(_ ids: [Int32], special: Bool = false, continuing: Bool = false) -> String {
        var decoder = StreamDecoder(self, special: special, continuing: continuing)
        return ids.map { decoder.append($0) }.joined() + decoder.finish()
    }
}

/// Fails once for many texts, naming the first few that differ.
func expectNone<Item>(of differing: [Item], _ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(differing.isEmpty, "\(what): \(differing.count) differ, for instance \(differing.prefix(3))", sourceLocation: sourceLocation)
}
