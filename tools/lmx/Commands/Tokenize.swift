internal import ArgumentParser
internal import Formats
internal import Foundation
internal import Text
internal import Weights

struct Tokenize: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Ids and pieces of a text; or the text of ids; or a chat through the template.",
        discussion: """
            Examples:
              lmx tokenize MODEL "Hello, world"
              lmx tokenize MODEL --decode 19556 28 905
              lmx tokenize MODEL --chat messages.json
            """)

    @Argument(help: "A path or an id.") var model: String
    @Argument(help: "The text; standard input where it is missing.") var text: String?
    @Flag(help: "Read control tokens in the text as control tokens, add BOS and EOS where the model does, show them when decoding.")
    var special = false
    @Option(parsing: .upToNextOption, help: "Ids to decode.") var decode: [Int32] = []
    @Option(help: "A JSON file: a list of messages, or an object with `messages`.") var chat: String?
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let source = try ModelSources.open(folders.models.path(of: model))
        let tokenizer = try Composition.tokenizer(of: source)
        if !decode.isEmpty {
            for id in decode where id < 0 || Int(id) >= tokenizer.vocabularySize {
                throw Refusal(
                    code: "out_of_range", "\(source.path): id \(id) is outside the vocabulary of \(tokenizer.vocabularySize) pieces")
            }
            let text = String(decoding: tokenizer.decode(decode, special: special), as: UTF8.self)
            print(output.json ? JSONValue.object(["text": .string(text)]).serialized() : text)
            return
        }
        var rendered: String?
        let ids: [Int32]
        if let chat {
            guard let data = FileManager.default.contents(atPath: chat) else { throw ModelError(.unreadable, at: chat, "cannot be read") }
            let document = try JSONValue.parse(Array(data), maximumDepth: 64)
            guard let messages = document["messages"] ?? (document.isArray ? document : nil) else {
                throw Refusal(code: "malformed", "\(chat): holds neither a list of messages nor an object with `messages`")
            }
            let segments = try Composition.render(messages: messages, source: source, tokenizer: tokenizer)
            rendered = ChatTemplate.text(of: segments)
            ids = tokenizer.encode(segments: segments)
        } else {
            let text = text ?? String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self)
            ids = tokenizer.encode(text, parseSpecial: special, addSpecial: special)
        }
        report(ids, tokenizer, rendered)
    }

    private func report(_ ids: [Int32], _ tokenizer: Tokenizer, _ rendered: String?) {
        func piece(_ id: Int32) -> String { String(decoding: tokenizer.decode([id], special: true), as: UTF8.self) }
        if output.json {
            var document: JSONObject = [
                "count": .int(ids.count), "ids": .array(ids.map { .int(Int($0)) }), "pieces": .array(ids.map { .string(piece($0)) }),
            ]
            if let rendered { document["text"] = .string(rendered) }
            print(JSONValue.object(document).serialized())
            return
        }
        if let rendered { print(rendered, terminator: "\n\n") }
        for id in ids { print("\(id)\t\(ModelError.visible(piece(id)))") }
        Terminal.note("\(ids.count) tokens")
    }
}

extension JSONValue {
    var isArray: Bool { if case .array = self { true } else { false } }
}

extension ModelError {
    /// A piece on one line: control characters and blanks made visible.
    static func visible(_ text: String) -> String {
        var shown = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": shown += "\\n"
            case "\r": shown += "\\r"
            case "\t": shown += "\\t"
            case " ": shown += "␣"
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }
}
