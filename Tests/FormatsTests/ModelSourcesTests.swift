import Formats
import TestSupport
import Testing
import Weights

/// What a path leads to is decided by its content, and what is no model is refused in one clear line.
@Suite struct ModelSourcesTests {
    private func refusal(_ bytes: [UInt8], name: String = "model.gguf") -> ModelError? {
        let path = TemporaryFolder().write(bytes, to: name)
        let error = #expect(throws: ModelError.self) { try ModelSources.open(path) }
        #expect(error?.place == path)
        return error
    }

    @Test func theNameDoesNotMatter() throws {
        let path = TemporaryFolder().write(GGUFBuilder.small.bytes(), to: "weights.safetensors")
        #expect(try ModelSources.open(path).formatName == "GGUF v3")
    }

    @Test func whatIsNoModelFileIsRefusedByWhatItIs() {
        #expect(refusal([])?.kind == .truncated)
        #expect(refusal(Array("GGU".utf8))?.kind == .truncated)
        #expect(refusal(Array("GGUF".utf8))?.kind == .truncated)
        #expect(refusal(Array("Once upon a time\n".utf8))?.problem == #"is a text file, beginning with "Once upon a time\x0a""#)
        #expect(refusal(Array("<!DOCTYPE html>".utf8))?.kind == .unrecognised)
        #expect(refusal(Array("version https://git-lfs.github.com/spec/v1\n".utf8))?.problem.contains("Git LFS") == true)
        for magic in ["lmgg", "tjgg", "fmgg"] { #expect(refusal(Array(magic.utf8) + [1, 0, 0, 0])?.problem.contains("GGML") == true) }
        #expect(refusal([0x80, 2, 0x7D])?.problem.contains("pickle") == true)
        #expect(refusal([0x50, 0x4B, 3, 4, 0, 0])?.problem.contains("zip") == true)
        #expect(refusal([0, 1, 2, 3])?.kind == .unrecognised)
        #expect(refusal(SafetensorsBuilder().bytes(), name: "model.safetensors")?.problem.contains("config.json") == true)
    }

    @Test func whatIsNoModelFolderIsRefusedByWhatItLacks() {
        let folder = TemporaryFolder()
        func kind() -> ModelError? { #expect(throws: ModelError.self) { try ModelSources.open(folder.path) } }
        #expect(kind()?.problem == "is an empty folder")
        folder.write("", to: "notes.txt")
        #expect(kind()?.problem == "holds no model")
        folder.write([0x80, 2], to: "pytorch_model.bin")
        #expect(kind()?.problem.contains("PyTorch") == true)
        folder.write(SafetensorsBuilder().bytes(), to: "model.safetensors")
        #expect(kind()?.kind == .missing)
        folder.write(GGUFBuilder.small.bytes(), to: "a.gguf")
        #expect(throws: Never.self) { try ModelSources.open(folder.path) }  // the one GGUF file of a folder
        folder.write(GGUFBuilder.small.bytes(), to: "b.gguf")
        #expect(kind()?.hint == #"open one of them: "a.gguf", "b.gguf""#)
        let absent = #expect(throws: ModelError.self) { try ModelSources.open(folder.path + "/absent") }
        #expect(absent?.description == "\(folder.path)/absent: does not exist")
        let device = #expect(throws: ModelError.self) { try ModelSources.open("/dev/zero") }
        #expect(device?.kind == .unreadable)
        #expect(throws: ModelError.self) { try ModelSources.open("") }
    }

    @Test(arguments: ["llama", "mistral", "smollm2", "qwen2", "qwen3", "gemma3"])
    func everyFormOfATinyModelHasTheSameShapes(_ model: String) throws {
        let folder = Corpus.testdata + "/tiny/\(model)"
        let plain = try ModelSources.open(folder + "/hf")
        for name in Corpus.names(in: folder + "/mlx") {
            let mlx = try ModelSources.open(folder + "/mlx/" + name)
            #expect(mlx.formatName == "MLX safetensors" && plain.formatName == "Hugging Face safetensors")
            #expect(mlx.records.mapValues(\.shape) == plain.records.mapValues(\.shape))
            #expect(mlx.records.values.contains { $0.format is Affine })
        }
        for name in Corpus.names(in: folder + "/gguf") {
            let gguf = try ModelSources.open(folder + "/gguf/" + name)
            #expect(gguf.records["token_embd.weight"]?.shape == plain.records["model.embed_tokens.weight"]?.shape)
            for key: MetadataKey in [.blockCount, .embeddingLength, .feedForwardLength, .headCount, .headCountKV, .contextLength] {
                #expect(try gguf.metadata.requireInt(key) == plain.metadata.requireInt(key), "\(key.gguf)")
            }
            #expect(try gguf.metadata.findFloat(.ropeBase) == plain.metadata.findFloat(.ropeBase))
        }
    }

    static let realModel = Corpus.models.flatMap { folder in
        Corpus.names(in: folder).first { $0.contains("SmolLM2-135M") && $0.hasSuffix(".gguf") }.map { folder + "/" + $0 }
    }

    @Test(.enabled(if: realModel != nil, "no SmolLM2-135M here"))
    func theRealModelOpens() throws {
        let source = try ModelSources.open(try #require(Self.realModel))
        #expect(source.records.count == 272 && source.metadata.architecture == "llama")
        #expect(source.tokenizer?.pieces.count == 49_152 && source.tokenizer?.merges.count == 48_900)
        #expect(source.tokenizer?.preTokenizer == .smollm && source.tokenizer?.endOfGeneration == [2, 0])
    }
}
