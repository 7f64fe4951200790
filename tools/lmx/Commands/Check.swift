internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Text
internal import Weights

struct Check: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Would this model serve? Opens, binds, packs, tokenizes, renders a chat, samples one token.",
        discussion: "Example:\n  lmx check MODEL")

    @Argument(help: "A path or an id.") var model: String
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var steps: [(name: String, found: String, seconds: Double)] = []
        func step<T>(_ name: String, _ body: () throws -> (T, String)) rethrows -> T {
            let clock = ContinuousClock()
            let start = clock.now
            let (value, found) = try body()
            let passed = (clock.now - start).components
            steps.append((name, found, Double(passed.seconds) + Double(passed.attoseconds) * 1e-18))
            if !output.json { print("\(name.padding(toLength: 10, withPad: " ", startingAt: 0))\(found)") }
            return value
        }

        let path = try folders.models.path(of: model)
        let source = try step("opens") {
            let source = try ModelSources.open(path)
            return (source, "\(source.formatName), \(source.records.count) tensors, \(quantizationLabel(of: source))")
        }
        let executed = try step("packs") {
            let executed = try Composition.model(of: source, compute, precise: compute.precise)
            return (executed, "\(executed.architectureName), \(humanBytes(executed.packedBytes)) of weights")
        }
        let tokenizer = try step("tokenizes") {
            let tokenizer = try Composition.tokenizer(of: source)
            let text = "The quick brown fox — 3 jumps."
            let ids = tokenizer.encode(text, parseSpecial: false, addSpecial: false)
            let back = String(decoding: tokenizer.decode(ids), as: UTF8.self)
            guard back.trimmingCharacters(in: .whitespaces) == text else {
                throw Refusal(
                    code: "malformed", "\(path): the tokenizer gives \(ModelError.quoted(back)) back for \(ModelError.quoted(text))")
            }
            return (tokenizer, "\(tokenizer.vocabularySize) pieces")
        }
        let prompt = try step("renders") {
            guard try Composition.template(of: source) != nil else {
                return (tokenizer.encode("Hello", parseSpecial: false, addSpecial: true), "no chat template: raw completions only")
            }
            let messages = JSONValue.array([
                .object(["role": .string("user"), "content": .string("Hello")]),
                .object(["role": .string("assistant"), "content": .string("Hi.")]),
                .object(["role": .string("user"), "content": .string("Name a river.")]),
            ])
            let ids = tokenizer.encode(segments: try Composition.render(messages: messages, source: source, tokenizer: tokenizer))
            return (ids, "a chat of \(ids.count) tokens")
        }
        try step("answers") {
            try Composition.check(tokenizer, against: executed, at: path)
            var state = try ModelState(executed, positions: prompt.count)
            var best: (id: Int32, value: Float) = (0, -.infinity)
            try state.run(prompt, logits: .last) { row in
                for (id, value) in row.prefix(tokenizer.vocabularySize).enumerated() {
                    guard value.isFinite else { throw Refusal(code: "model_failed", "\(path): the logits are not finite numbers") }
                    if value > best.value { best = (Int32(id), value) }
                }
            }
            let piece = String(decoding: tokenizer.decode([best.id], special: true), as: UTF8.self)
            return ((), "next token \(best.id) \(ModelError.quoted(piece))")
        }
        if output.json {
            let document = JSONValue.object([
                "model": .string(path), "serves": .bool(true),
                "steps": .array(
                    steps.map {
                        .object(["step": .string($0.name), "found": .string($0.found), "seconds": .float($0.seconds)])
                    }),
            ])
            print(document.serialized())
        } else {
            print("this model would serve")
        }
    }
}
