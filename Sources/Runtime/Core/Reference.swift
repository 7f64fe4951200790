public import Weights

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// The forward pass as its specification: one sequence, weights decoded to f32, plain loops, nothing shared with the fast one.
///
/// Numbers are f32; sums are carried in f64, so that their order plays no part. Rows that a file keeps as interleaved
/// pairs stay where they are and are rotated as such.
public struct Reference {
    private struct Matrix {
        var weights: [Float]  // [rows, columns]
        var bias: [Float]?  // [rows]
        var rows: Int
        var columns: Int
    }

    private struct Block {
        var attentionNorm: [Float], feedForwardNorm: [Float]
        var query: Matrix, key: Matrix, value: Matrix, attentionOutput: Matrix
        var queryNorm: [Float]?, keyNorm: [Float]?, attentionPostNorm: [Float]?, feedForwardPostNorm: [Float]?
        var gate: Matrix, up: Matrix, down: Matrix
    }

    public let hyperparameters: Hyperparameters
    private let architecture: Architecture
    private let rotatesNeighbours: Bool
    private let embedding: Matrix
    private let blocks: [Block]
    private let outputNorm: [Float]
    private let output: Matrix
    private let rope: Rope, windowRope: Rope

    /// - Throws: what is wrong with the file.
    public init(_ source: any ModelSource) throws(ModelError) {
        let plan = try Binder.plan(source, precise: true)  // checks names and shapes; its layout in memory is not used
        let records = Dictionary(uniqueKeysWithValues: plan.tensors.map { ($0.role, $0.record) })
        let addsOne = plan.architecture.layout.addsOneToNorms && source.metadata.dialect == .huggingFace

        func values(_ role: TensorRole) -> [Float]? {
            guard let record = records[role] else { return nil }
            return (0..<record.rows).flatMap { row in
                [Float](unsafeUninitializedCapacity: record.columns) { buffer, count in
                    record.format.decode(
                        source.bytes(of: record, row: row), into: UnsafeMutableBufferPointer(rebasing: buffer[..<record.columns]))
                    count = record.columns
                }
            }
        }
        func norm(_ part: TensorRole.Part, _ layer: Int?) -> [Float]? {
            values(TensorRole(part, layer: layer)).map { addsOne ? $0.map { $0 + 1 } : $0 }
        }
        func matrix(_ part: TensorRole.Part, _ layer: Int?) -> Matrix {
            let role = TensorRole(part, layer: layer)
            return Matrix(
                weights: values(role) ?? [], bias: values(TensorRole(part, layer: layer, .bias)), rows: records[role]?.rows ?? 0,
                columns: records[role]?.columns ?? 0)
        }

        hyperparameters = plan.hyperparameters
        architecture = plan.architecture
        rotatesNeighbours = plan.architecture.layout.interleavesQueryKeyRows && source.metadata.dialect == .gguf
        embedding = matrix(.tokenEmbedding, nil)
        output = plan.has(.output) ? matrix(.output, nil) : embedding
        outputNorm = norm(.outputNorm, nil) ?? []
        blocks = (0..<plan.hyperparameters.layers).map { layer in
            Block(
                attentionNorm: norm(.attentionNorm, layer) ?? [], feedForwardNorm: norm(.feedForwardNorm, layer) ?? [],
                query: matrix(.query, layer), key: matrix(.key, layer), value: matrix(.value, layer),
                attentionOutput: matrix(.attentionOutput, layer), queryNorm: norm(.queryNorm, layer), keyNorm: norm(.keyNorm, layer),
                attentionPostNorm: norm(.attentionPostNorm, layer), feedForwardPostNorm: norm(.feedForwardPostNorm, layer),
                gate: matrix(.gate, layer), up: matrix(.up, layer), down: matrix(.down, layer))
        }
        rope = Rope(plan.hyperparameters.rotation, rotated: plan.hyperparameters.rotated, divisors: plan.ropeDivisors)
        windowRope = plan.hyperparameters.windowRotation.map { Rope($0, rotated: plan.hyperparameters.rotated) } ?? rope
    }

    /// Logits of every position: `[tokens, vocabularySize]`, row after row.
    public func logits(for tokens: [Int32]) -> [Float] {
        let sizes = hyperparameters
        var x = tokens.map { row(Int($0), of: embedding).map { $0 * sizes.embeddingScale } }  // [tokens][hidden]

        for (layer, block) in blocks.enumerated() {
            // attention
            var queries: [[Float]] = []
            var keys: [[Float]] = []
            var values: [[Float]] = []
            for position in x.indices {
                let input = normalised(x[position], block.attentionNorm)
                let rope = sizes.hasWindow[layer] ? windowRope : rope
                queries.append(rotated(normalisedHeads(product(block.query, input), block.queryNorm), rope, at: position))
                keys.append(rotated(normalisedHeads(product(block.key, input), block.keyNorm), rope, at: position))
                values.append(product(block.value, input))
            }
            for position in x.indices {
                let first = sizes.hasWindow[layer] ? max(0, position - sizes.window + 1) : 0
                var update = product(block.attentionOutput, attended(queries[position], keys, values, first...position))
                if let norm = block.attentionPostNorm { update = normalised(update, norm) }
                x[position] = sum(x[position], update)
            }
            // feed forward
            for position in x.indices {
                let input = normalised(x[position], block.feedForwardNorm)
                let gated = zip(product(block.gate, input), product(block.up, input)).map { activated($0) * $1 }
                var update = product(block.down, gated)
                if let norm = block.feedForwardPostNorm { update = normalised(update, norm) }
                x[position] = sum(x[position], update)
            }
        }

        return x.flatMap { product(output, normalised($0, outputNorm)).map { capped($0, sizes.finalSoftcap) } }
    }

    // ---------------------------------------------------------------------------------------------------------- parts

    private func row(_ index: Int, of matrix: Matrix) -> ArraySlice<Float> {
        matrix.weights[index * matrix.columns..<(index + 1) * matrix.columns]
    }

    private func product(_ matrix: Matrix, _ x: [Float]) -> [Float] {
        (0..<matrix.rows).map { row in
            var sum = 0.0
            for column in 0..<matrix.columns { sum += Double(matrix.weights[row * matrix.columns + column]) * Double(x[column]) }
            return Float(sum) + (matrix.bias?[row] ?? 0)
        }
    }

    private func sum(_ x: [Float], _ y: [Float]) -> [Float] { zip(x, y).map { $0 + $1 } }

    /// x / √(mean(x²) + ε) · weight
    private func normalised(_ x: some Collection<Float>, _ weight: [Float]) -> [Float] {
        let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(x.count)
        let factor = Float(1 / (mean + Double(hyperparameters.normEpsilon)).squareRoot())
        return zip(x, weight).map { $0 * factor * $1 }
    }

    private func normalisedHeads(_ x: [Float], _ weight: [Float]?) -> [Float] {
        guard let weight else { return x }
        return stride(from: 0, to: x.count, by: weight.count).flatMap { normalised(x[$0..<$0 + weight.count], weight) }
    }

    /// Turns each pair of every head by position · frequency: pairs are (i, i + rotated/2), or neighbours.
    private func rotated(_ x: [Float], _ rope: Rope, at position: Int) -> [Float] {
        var y = x
        let pairs = rope.frequencies.count
        for head in stride(from: 0, to: x.count, by: hyperparameters.keySize) {
            for pair in 0..<pairs {
                let angle = Float(position) * rope.frequencies[pair]
                let first = head + (rotatesNeighbours ? 2 * pair : pair)
                let second = rotatesNeighbours ? first + 1 : first + pairs
                y[first] = x[first] * cos(angle) - x[second] * sin(angle)
                y[second] = x[first] * sin(angle) + x[second] * cos(angle)
            }
        }
        return y
    }

    /// softmax(scale · query · keys) · values over the visible positions, head by head.
    private func attended(_ query: [Float], _ keys: [[Float]], _ values: [[Float]], _ visible: ClosedRange<Int>) -> [Float] {
        let sizes = hyperparameters
        let group = sizes.heads / sizes.keyValueHeads
        return (0..<sizes.heads).flatMap { head in
            let queryStart = head * sizes.keySize
            let keyStart = head / group * sizes.keySize
            let valueStart = head / group * sizes.valueSize
            let scores = visible.map { position in
                var sum = 0.0
                for index in 0..<sizes.keySize { sum += Double(query[queryStart + index]) * Double(keys[position][keyStart + index]) }
                return capped(Float(sum) * sizes.attentionScale, sizes.attentionSoftcap)
            }
            let highest = scores.max() ?? 0
            let weights = scores.map { exp(Double($0 - highest)) }
            let total = weights.reduce(0, +)
            return (0..<sizes.valueSize).map { index in
                var sum = 0.0
                for (weight, position) in zip(weights, visible) { sum += weight * Double(values[position][valueStart + index]) }
                return Float(sum / total)
            }
        }
    }

    private func activated(_ x: Float) -> Float {
        switch architecture.activation {
        case .silu: return x / (1 + exp(-x))
        case .geluTanh:
            let cubed = x + 0.044715 * x * x * x
            return 0.5 * x * (1 + tanh(Float(0.7978845608) * cubed))  // √(2/π)
        }
    }

    private func capped(_ x: Float, _ cap: Float) -> Float { cap > 0 ? cap * tanh(x / cap) : x }
}
