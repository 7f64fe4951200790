import Compute
import Formats
import Foundation
import Testing
import Weights

/// Against the recorded logits of the reference implementation, in every stored form of every tiny model.
@Suite struct OracleTests {
    @Test func theTinyModelsAreThere() {
        #expect(Set(TinyModel.all.map(\.architecture)).isSuperset(of: ["llama", "qwen2", "qwen3", "gemma3", "mistral"]))
    }

    @Test(arguments: TinyModel.all)
    func preciseModeGivesTheReferencesLogits(_ tiny: TinyModel) throws {
        let expected = try #require(tiny.referenceLogits())
        let tokens = try tiny.prompt()
        let source = try ModelSources.open(tiny.path)
        let model = try Model.load(source, options: ModelOptions(precise: true, threads: 1))
        #expect(largestDifference(try model.logits(tokens).flatMap { $0 }, expected) < 1e-3)
    }

    @Test(arguments: TinyModel.all.filter { $0.form == "hf" || $0.form == "gguf-F32" })
    func theSpecificationGivesTheReferencesLogits(_ tiny: TinyModel) throws {
        let expected = try #require(tiny.referenceLogits())
        #expect(largestDifference(try Reference(try ModelSources.open(tiny.path)).logits(for: try tiny.prompt()), expected) < 1e-4)
    }

    /// Codes run with activations of eight bits, BF16 with bf16 ones where the processor multiplies those, other numbers with
    /// exact ones; keys and values are f16 in all.
    @Test(arguments: TinyModel.all)
    func packedModeStaysNearTheReferencesLogits(_ tiny: TinyModel) throws {
        let expected = try #require(tiny.referenceLogits())
        let tokens = try tiny.prompt()
        let source = try ModelSources.open(tiny.path)
        let isBF16 = source.records.values.contains { $0.format.name == "BF16" }
        let model = try Model.load(source, options: ModelOptions(threads: 1))
        let error = relativeError(try model.logits(tokens).flatMap { $0 }, from: expected)
        #expect(error < (tiny.bits < 16 ? 0.03 : isBF16 ? 0.01 : 0.002), "\(error)")
    }

    /// What a file's codes become when they are moved into an MLX checkpoint runs as the same numbers.
    @Test(arguments: TinyModel.all.filter { ["gguf-Q4_0", "gguf-Q4_1", "gguf-Q8_0", "gguf-F16"].contains($0.form) })
    func theSameCodesThroughTheOtherFormatGiveTheSameLogits(_ tiny: TinyModel) throws {
        let source = try ModelSources.open(tiny.path)
        let tokens = try tiny.prompt()
        let architecture = try Architecture.named(in: source.metadata)
        let folder = NSTemporaryDirectory() + "lmx-oracle-\(ProcessInfo.processInfo.processIdentifier)-\(tiny.architecture)-\(tiny.form)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let conversion = try Conversion(
            source,
            ConversionArchitecture(
                layout: architecture.layout, ggufName: architecture.ggufNames[0], modelType: architecture.huggingFaceNames[0]),
            ConversionOptions(target: .mlx))
        #expect(try conversion.run(to: folder).isExact)
        let moved = try ModelSources.open(folder)

        let precise = ModelOptions(precise: true, threads: 1)
        #expect(
            largestDifference(
                try Model.load(source, options: precise).logits(tokens).flatMap { $0 },
                try Model.load(moved, options: precise).logits(tokens).flatMap { $0 }) < 1e-4)

        let packed = ModelOptions(threads: 1)
        let one = try Model.load(source, options: packed).logits(tokens)
        let other = try Model.load(moved, options: packed).logits(tokens)
        #expect(one == other)
    }
}
