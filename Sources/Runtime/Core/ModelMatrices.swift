package import CKernels

/// What a benchmark of the bare kernels needs; nothing in precise mode, whose weights are plain floats.
extension Model {
    /// The packed matrices of all layers, in order.
    package var matrices: [ck_matrix] {
        layers.flatMap { layer in
            [layer.query, layer.key, layer.value, layer.attentionOutput, layer.gate, layer.up, layer.down].compactMap(Self.packed)
        }
    }

    /// The matrix that gives the logits.
    package var logitsMatrix: ck_matrix? { Self.packed(output) }

    private static func packed(_ matrix: PackedMatrix) -> ck_matrix? {
        if case .panels(let packed) = matrix.form { packed.pointee } else { nil }
    }
}
