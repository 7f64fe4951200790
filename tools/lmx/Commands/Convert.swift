internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Weights

struct Convert: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "From GGUF to an MLX checkpoint: codes are moved, never requantised.",
        discussion: """
            A stored type that MLX cannot hold exactly is refused by name. The folder appears only when it is complete.

            Examples:
              lmx convert model.gguf model-mlx
              lmx convert model.gguf model-mlx --dry-run
            """)

    enum Target: String, ExpressibleByArgument, CaseIterable { case mlx, gguf, hf }

    @Argument(help: "A GGUF file: a path or an id.") var source: String
    @Argument(help: "The folder to write.") var destination: String
    @Option(help: "The form to write: mlx.") var to: Target = .mlx
    @Flag(help: "Say what would be done, write nothing.") var dryRun = false
    @Option(help: "Write the report as JSON to this file.") var report: String?
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        guard to == .mlx else {
            throw ModelError(.unsupported, at: destination, "converting to \(to.rawValue) is not supported", hint: "--to mlx is")
        }
        let source = try ModelSources.open(folders.models.path(of: source))
        let architecture = try Architecture.named(in: source.metadata)
        let conversion = try Conversion(source, layout: architecture.layout, modelType: architecture.huggingFaceNames[0])
        let found = dryRun ? conversion.report : try conversion.run(to: destination, progress: Terminal.progress("converting"))
        if let report { try Data(found.json.serialized().utf8).write(to: URL(fileURLWithPath: report)) }
        if output.json { return print(found.json.serialized()) }
        for line in found.summary { print(line) }
        print(dryRun ? "nothing written (--dry-run)" : "\(destination) written")
    }
}
