import Compute
import Testing
import Weights

/// A precise session that keeps what its matrices are multiplied by.
private func squares(_ model: Model, _ tokens: [Int32], chunks: [Int]) throws -> [TensorName: [Float]] {
    var cache = try model.makeCache(pages: 1 + tokens.count / KVCache.pageTokens)
    var workspace = try model.makeWorkspace(observingInputs: true)
    let slot = cache.open()
    var start = 0
    for length in chunks {
        let run = Batch.Run(slot: slot, tokens: Array(tokens[start..<start + length]), logits: .all)
        guard cache.reserve(slot, tokens: length) else { return [:] }
        model.forward(Batch(runs: [run]), cache: &cache, workspace: &workspace)
        start += length
    }
    return model.inputMeanSquares(seenBy: workspace)
}

@Suite struct InputSquaresTests {
    private static let random = RandomModel.all[0]

    @Test(arguments: RandomModel.all)
    func everyMatrixIsSeenAndNoVector(_ random: RandomModel) throws {
        let source = random.huggingFace()
        let model = try Model.load(source, options: ModelOptions(precise: true, threads: 2))
        let found = try squares(model, someTokens(20, vocabulary: random.vocabulary), chunks: [20])
        let output = model.architecture.layout.name(of: TensorRole(.output), in: .huggingFace)
        let isTied = output.map { source.records[$0] == nil } ?? true
        // An embedding that is no output is looked up, not multiplied.
        let matrices = source.records.values.filter { $0.shape.count > 1 && (isTied || !$0.name.description.contains("embed")) }
        #expect(Set(found.keys) == Set(matrices.map(\.name)))
        for matrix in matrices { #expect(found[matrix.name]?.count == matrix.columns) }
    }

    /// The one input that can be told without running the model.
    @Test func theFirstLayersQueriesReadTheNormalisedEmbedding() throws {
        let source = Self.random.huggingFace()
        let tokens = someTokens(30, vocabulary: Self.random.vocabulary)
        let model = try Model.load(source, options: ModelOptions(precise: true, threads: 1))
        let found = try squares(model, tokens, chunks: [30])

        func row(_ name: TensorName, _ row: Int) throws -> [Float] {
            let record = try #require(source.records[name])
            return [Float](unsafeUninitializedCapacity: record.columns) { buffer, count in
                record.format.decode(source.bytes(of: record, row: row), into: UnsafeMutableBufferPointer(rebasing: buffer[..<record.columns]))
                count = record.columns
            }
        }
        let norm = try row("model.layers.0.input_layernorm.weight", 0)
        var expected = [Double](repeating: 0, count: norm.count)
        for token in tokens {
            let x = try row("model.embed_tokens.weight", Int(token)).map { Double($0 * model.hyperparameters.embeddingScale) }
            let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + Double(model.hyperparameters.normEpsilon)
            for column in x.indices {
                let input = x[column] * Double(norm[column])
                expected[column] += input * input / mean / Double(tokens.count)
            }
        }
        for part in ["q", "k", "v"] {
            let seen = try #require(found[TensorName("model.layers.0.self_attn.\(part)_proj.weight")])
            for (one, other) in zip(seen, expected) { #expect(abs(Double(one) - other) < 1e-5 * max(other, 1)) }
        }
    }

    @Test func howATextIsCutDoesNotMatter() throws {
        let tokens = someTokens(60, vocabulary: Self.random.vocabulary)
        let model = try Model.load(Self.random.huggingFace(), options: ModelOptions(precise: true, threads: 2))
        let whole = try squares(model, tokens, chunks: [60])
        let parts = try squares(model, tokens, chunks: [1, 40, 19])
        for (name, values) in whole {
            for (one, other) in zip(values, parts[name] ?? []) { #expect(abs(one - other) <= 1e-3 * max(one, 1e-6), "\(name)") }
        }
    }
}
