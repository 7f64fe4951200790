internal import CKernels

extension Model {
    /// hidden += output( attention( norm(hidden) ) ), and the new keys and values are in the cache.
    func attention(
        _ layer: borrowing Layer, _ cache: ck_cache_layer, rows: Int, _ runs: UnsafeBufferPointer<ck_run>,
        _ workspace: borrowing Workspace
    ) {
        let kernels = workspace.kernels
        let sizes = hyperparameters
        let epsilon = sizes.normEpsilon
        let hidden = workspace.hidden
        let query = workspace.query
        let key = workspace.key
        let value = workspace.value
        let scratch = workspace.scratch

        kernels.multiply(
            .normalised(hidden, weight: layer.attentionNorm, epsilon: epsilon), rows: rows, finely: true,
            into: [.init(matrix: layer.query, y: query), .init(matrix: layer.key, y: key), .init(matrix: layer.value, y: value)],
            scratch: scratch)

        if let weight = layer.queryNorm {
            kernels.normaliseHeads(query, rows: rows, headSize: sizes.keySize, weight: weight, epsilon: epsilon)
        }
        if let weight = layer.keyNorm {
            kernels.normaliseHeads(key, rows: rows, headSize: sizes.keySize, weight: weight, epsilon: epsilon)
        }
        let angles = layer.hasWindow && windowRope != nil ? workspace.windowAngles : workspace.angles
        kernels.rotate(query, rows: rows, headSize: sizes.keySize, angles: angles)
        kernels.rotate(key, rows: rows, headSize: sizes.keySize, angles: angles)
        kernels.store(key, value, runs: runs, in: cache)

        let attended = workspace.attended
        let projected = workspace.projected
        kernels.attend(query, runs: runs, in: cache, shape: layer.shape, into: attended, scratch: workspace.attentionScratch)
        if let weight = layer.attentionPostNorm {
            kernels.multiply(.plain(attended), rows: rows, into: [.init(matrix: layer.attentionOutput, y: projected)], scratch: scratch)
            kernels.normalise(projected, rows: rows, weight: weight, epsilon: epsilon, into: projected)
            kernels.add(projected, to: hidden, rows: rows)
        } else {
            kernels.multiply(
                .plain(attended), rows: rows, by: layer.attentionOutput, addingTo: hidden, through: projected, scratch: scratch)
        }
    }
}
