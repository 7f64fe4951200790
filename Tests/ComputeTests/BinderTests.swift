import Compute
import Testing
import Weights

@Suite struct BinderTests {
    private func refusal(_ source: MemorySource) -> ModelError? {
        do throws(ModelError) {
            _ = try ModelSummary(source, options: ModelOptions(threads: 1))
            return nil
        } catch { return error }
    }

    @Test(arguments: RandomModel.all, [Metadata.Dialect.huggingFace, .gguf])
    func everyTensorIsNeeded(_ random: RandomModel, _ dialect: Metadata.Dialect) throws {
        let whole = dialect == .gguf ? random.gguf() : random.huggingFace()
        for name in whole.records.keys.sorted() {
            let optional = name.description.hasSuffix(".bias") || name == "output.weight" || name == "lm_head.weight"
            var source = whole
            source.records[name] = nil
            #expect(refusal(source)?.kind == (optional ? nil : .missing), "\(name)")
        }
    }

    @Test(arguments: RandomModel.all, [Metadata.Dialect.huggingFace, .gguf])
    func everyShapeIsChecked(_ random: RandomModel, _ dialect: Metadata.Dialect) throws {
        let whole = dialect == .gguf ? random.gguf() : random.huggingFace()
        for (name, record) in whole.records {
            for shape in [record.shape.map { $0 * 2 }, [1] + record.shape, []] {
                // The rows of the embedding are the vocabulary, whatever they are; without an output of its own that is consistent.
                var source = whole
                source.records[name] = StoredTensor(name: name, shape: shape, format: record.format, planes: record.planes)
                #expect(refusal(source)?.kind == .mismatched, "\(name) \(shape)")
            }
        }
    }

    @Test func aShapeThatDoesNotFitIsToldInFull() {
        var source = RandomModel.all[0].gguf()
        let name: TensorName = "blk.1.attn_q.weight"
        source.add(name, [64, 64], Dense(.f32), planes: [Array(repeating: 0, count: 4 * 64 * 64)])
        #expect(
            refusal(source)?.description
                == "memory: blk.1.attn_q.weight: shape is 64 × 64, this model needs 128 × 64 (rows × columns)")
    }

    @Test func aTensorThatNothingUsesIsRefusedInsideBlocksOnly() {
        var source = RandomModel.all[0].huggingFace()
        source.add("vision.patch.weight", [2], Dense(.f32), planes: [Array(repeating: 0, count: 8)])
        source.add("model.layers.0.self_attn.rotary_emb.inv_freq", [2], Dense(.f32), planes: [Array(repeating: 0, count: 8)])
        #expect(refusal(source) == nil)
        source.add("model.layers.0.self_attn.q_norm.weight", [32], Dense(.f32), planes: [Array(repeating: 0, count: 128)])
        #expect(refusal(source)?.kind == .unsupported)
    }

    @Test func anUnknownArchitectureIsRefusedByName() {
        let source = MemorySource(.gguf, "mamba", [:])
        #expect(refusal(source)?.kind == .unsupported)
        #expect(refusal(source)?.problem == "architecture \"mamba\" is not supported")
    }

    @Test func aTextModelInsideAMultimodalOneIsFound() throws {
        let plain = RandomModel.all[4].huggingFace()
        for root in ["language_model.model.", "model.language_model."] {
            var source = plain
            source.metadata = Metadata(
                dialect: .huggingFace, place: "memory", architecture: "gemma3", values: plain.metadata.values)
            source.records = [:]
            for (name, record) in plain.records {
                source.records[TensorName(root + name.description.dropFirst("model.".count))] = record
            }
            let tokens = someTokens(9, vocabulary: 80)
            let options = ModelOptions(threads: 1)
            #expect(try Model.load(source, options: options).logits(tokens) == Model.load(plain, options: options).logits(tokens))
        }
    }

    @Test func theSummaryCountsWhatIsExecuted() throws {
        let wide = RandomModel.all[1].wide(Q4_K())
        let summary = try ModelSummary(wide.gguf(), options: ModelOptions(threads: 1))
        let query = try #require(summary.tensors.first { $0.role.part == .query })
        #expect(query.storedFormat == "Q4_K")
        #expect(query.executedForm == "4-bit codes, groups of 32, two-level scales and offsets")
        #expect(query.executedBitsPerWeight > 4 && query.executedBitsPerWeight < 5)
        #expect(summary.cacheBytesPerToken == wide.layers * wide.keyValueHeads * wide.headSize * 2 * 2)
        let model = try Model.load(wide.gguf(), options: ModelOptions(threads: 1))
        #expect(model.packedBytes == summary.packedBytes)

        let precise = try ModelSummary(wide.gguf(), options: ModelOptions(precise: true, threads: 1))
        #expect(precise.tensors.allSatisfy { $0.executedForm == "f32" && $0.executedBitsPerWeight == 32 })
        #expect(precise.cacheBytesPerToken == 2 * summary.cacheBytesPerToken)
    }
}
