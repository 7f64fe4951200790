internal import ArgumentParser
internal import Foundation
internal import Weights

/// The one binary. Every command refuses with one line on standard error and exit code 1; wrong usage exits with 2.
@main
struct LMX: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lmx",
        abstract: "Runs language models on Linux CPUs: MLX safetensors and GGUF, one executed form.",
        discussion: """
            A MODEL is a path (a .gguf file, its first split, or a directory with MLX or Hugging Face safetensors)
            or an id found in the model folders (see `lmx list`).

            Example:
              lmx run models/SmolLM2-135M-Instruct.Q4_1.gguf "Name three rivers."
            """,
        version: Version.text,
        subcommands: [
            Serve.self, Run.self, Inspect.self, Convert.self, Bench.self, Perplexity.self, Tokenize.self, Check.self, List.self,
        ])

    static func main() async { await execute() }

    /// Apart from `main`, which is bound to the main actor as commands are not.
    private nonisolated static func execute() async {
        var wantsJSON = false
        do {
            var command = try parseAsRoot()
            wantsJSON = (command as? any Reporting)?.output.json ?? false
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            leave(error, wantsJSON: wantsJSON)
        }
    }

    private static func leave(_ error: any Error, wantsJSON: Bool) -> Never {
        if let refusal = Refusal(error) {
            if wantsJSON { print(refusal.json.serialized()) }
            Terminal.note("lmx: \(refusal.message)")
            Foundation.exit(1)
        }
        let code = exitCode(for: error)
        if code.isSuccess {
            print(fullMessage(for: error))
            Foundation.exit(0)
        }
        Terminal.note(fullMessage(for: error))
        Foundation.exit(2)
    }
}

enum Version {
    static let text = "0.1.0"
}

/// A command that reports, and so can do it as one JSON document.
protocol Reporting {
    var output: OutputOptions { get }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "One JSON document on standard output, nothing else there.")
    var json = false
}
