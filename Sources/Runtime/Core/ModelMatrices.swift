package import CKernels

/// What a benchmark of the bare kernels and tests of the packer need.
extension Model {
    /// The packed matrices of all layers, in order; none in precise mode, whose weights are plain floats.
    package var matrices: [ck_matrix] {
        layers.flatMap { layer in
            [layer.query, layer.key, layer.value, layer.attentionOutput, layer.gate, layer.up, layer.down].compactMap(Self.packed)
        }
    }

    /// The matrix that gives the logits.
    package var logitsMatrix: ck_matrix? { Self.packed(output) }

    /// One row of the embedding, read back from its executed form.
    package func embeddingRow(_ row: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: embedding.columns) { values, count in
            if let base = values.baseAddress { Kernels.copyRow(row, of: embedding, to: base) }
            count = embedding.columns
        }
    }

    private static func packed(_ matrix: PackedMatrix) -> ck_matrix? {
        if case .panels(let packed) = matrix.form { packed.pointee } else { nil }
    }
}
