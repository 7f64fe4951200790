internal import ArgumentParser
internal import Compute
internal import Engine
internal import Foundation
internal import Text
internal import Weights

struct Run: AsyncParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Chat in the terminal; with a prompt or piped input, one answer.",
        discussion: """
            Examples:
              lmx run MODEL
              lmx run MODEL "Name three rivers." --temperature 0
              git diff | lmx run MODEL "Summarise this change."
            """)

    @Argument(help: "A path or an id.") var model: String
    @Argument(help: "The prompt; piped input is appended to it.") var prompt: String?
    @Option(help: "The system message.") var system: String?
    @Flag(help: "Send the text as it is, without the chat template.") var raw = false
    @Option(help: "New tokens at most.") var maxTokens: Int?
    @Option(help: "A text that ends the answer (repeatable).") var stop: [String] = []
    @Option(help: "Log-probabilities of the N likeliest tokens, in --json.") var topLogprobs: Int?
    @Option(help: "Tokens of prompt and answer together.") var context: Int?
    @OptionGroup var sampling: SamplingOptions
    @OptionGroup var reuse: ReuseOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let path = try folders.models.path(of: model)
        let id = ModelFolders.id(of: path) ?? model
        var options = EngineOptions()
        options.contextLength = context
        options.parallel = 1
        reuse.apply(to: &options)
        let engine = InferenceEngine(options: options)
        let bar = Terminal.progress("loading \(id)")
        let compute = compute
        let plan = InferenceEngine.LoadPlan(forecast: { try MemoryForecast.needs(of: path, compute) })
        let report = try await engine.load(id, plan) { progress in
            try Composition.load(path, id: id, options: compute) { (share) throws(ModelError) in
                bar(share)
                try progress(share)
            }
        }
        let chat = Conversation(engine: engine, model: report.model, settings: self)
        var question = prompt
        if isatty(0) == 0 {
            let piped = String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self)
            question = [prompt, piped.isEmpty ? nil : piped].compactMap { $0 }.joined(separator: "\n\n")
        }
        if let question {
            let answer = try await chat.answer(question, streaming: !output.json)
            if output.json { print(document(answer).serialized()) } else { chat.reportSpeed(answer) }
        } else {
            try await talk(chat)
        }
        await engine.drain(grace: .zero)
    }

    /// Reads lines until the end of input.
    private func talk(_ chat: Conversation) async throws {
        print("\(chat.model.info.id) · /help shows the commands, Ctrl-D ends")
        while true {
            Terminal.write("\n> ")
            guard let line = readLine(strippingNewline: true) else { return print() }
            switch line.trimmingCharacters(in: .whitespaces) {
            case "": continue
            case "/exit", "/quit": return
            case "/help": print("/clear forgets the conversation · /system TEXT sets the system message · /exit ends")
            case "/clear":
                chat.clear()
                print("forgotten")
            case let command where command.hasPrefix("/system"):
                chat.system = String(command.dropFirst("/system".count)).trimmingCharacters(in: .whitespaces)
                chat.clear()
                print("system message set, conversation forgotten")
            case let command where command.hasPrefix("/"): print("\(command): no such command (/help shows them)")
            default:
                do {
                    let answer = try await chat.answer(line, streaming: true)
                    chat.reportSpeed(answer)
                } catch {
                    guard let refusal = Refusal(error) else { throw error }
                    Terminal.note("lmx: \(refusal.message)")
                }
            }
        }
    }

    private func document(_ answer: Generated) -> JSONValue {
        var document: JSONObject = [
            "text": .string(answer.text), "finish_reason": .string(answer.reason.rawValue),
            "usage": .object([
                "prompt_tokens": .int(answer.usage.promptTokens), "completion_tokens": .int(answer.usage.completionTokens),
                "cached_tokens": .int(answer.usage.cachedTokens),
            ]),
            "timings": .object([
                "prompt_seconds": .float(answer.timings.prefill), "decode_seconds": .float(answer.timings.decode),
                "prompt_tokens_per_second": .float(answer.timings.promptTokensPerSecond(answer.usage)),
                "decode_tokens_per_second": .float(answer.timings.decodeTokensPerSecond(answer.usage)),
            ]),
        ]
        document["tokens"] = .array(
            answer.tokens.map { token in
                var entry: JSONObject = [
                    "id": .int(Int(token.id)), "text": .string(String(decoding: token.bytes, as: UTF8.self)),
                    "logprob": .float(Double(token.logprob)),
                ]
                if topLogprobs != nil {
                    entry["top"] = .array(
                        token.top.map {
                            .object([
                                "id": .int(Int($0.id)), "text": .string(String(decoding: $0.bytes, as: UTF8.self)),
                                "logprob": .float(Double($0.logprob)),
                            ])
                        })
                }
                return .object(entry)
            })
        return .object(document)
    }
}

/// The turns so far, and the model that answers the next one.
private final class Conversation {
    let model: ServedModel
    var system: String?
    private let engine: InferenceEngine
    private let settings: Run
    private var turns: [(role: String, content: String)] = []

    init(engine: InferenceEngine, model: ServedModel, settings: Run) {
        self.engine = engine
        self.model = model
        self.settings = settings
        system = settings.system
    }

    func clear() { turns = [] }

    /// Answers and remembers both sides. Ctrl-C ends the answer, not the program, while it streams.
    func answer(_ question: String, streaming: Bool) async throws -> Generated {
        var request = GenerationRequest(model: model.info.id, prompt: try tokens(after: question))
        request.maximumTokens = settings.maxTokens
        request.sampling = settings.sampling.parameters
        request.stop = settings.stop
        if settings.output.json { request.topLogprobs = settings.topLogprobs ?? 0 }

        let stream = try engine.generate(request)
        let interrupt = InterruptWatch { stream.cancel() }
        defer { interrupt.end() }
        var answer = Generated()
        for try await event in stream {
            switch event {
            case .started: break
            case .text(let text, let tokens):
                answer.text += text
                answer.tokens += tokens
                if streaming { Terminal.write(text) }
            case .finished(let reason, let usage, let timings):
                (answer.reason, answer.usage, answer.timings) = (reason, usage, timings)
            }
        }
        if streaming { print() }
        turns += [("user", question), ("assistant", answer.text)]
        return answer
    }

    private func tokens(after question: String) throws -> [Int32] {
        if settings.raw { return model.tokenizer.encode(question) }
        guard let template = model.template else {
            throw ModelError(.missing, at: model.info.path, "has no chat template", hint: "--raw sends the text as it is")
        }
        var messages = system.map { [("system", $0)] } ?? []
        messages += turns + [("user", question)]
        let list = JSONValue.array(messages.map { .object(["role": .string($0.0), "content": .string($0.1)]) })
        return model.tokenizer.encode(segments: try Composition.render(messages: list, template: template, tokenizer: model.tokenizer))
    }

    func reportSpeed(_ answer: Generated) {
        let prompt = answer.timings.promptTokensPerSecond(answer.usage)
        let decode = answer.timings.decodeTokensPerSecond(answer.usage)
        Terminal.note(
            "[\(answer.usage.promptTokens) prompt tokens at \(prompt.fixed(0))/s, \(answer.usage.completionTokens) new at \(decode.fixed(1))/s, \(answer.reason.rawValue)]"
        )
    }
}

/// Calls back on Ctrl-C for as long as it lives; afterwards Ctrl-C ends the program again.
private final class InterruptWatch {
    private let source: any DispatchSourceSignal

    init(_ action: @escaping @Sendable () -> Void) {
        signal(SIGINT, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler(handler: action)
        source.resume()
    }

    func end() {
        source.cancel()
        signal(SIGINT, SIG_DFL)
    }
}
