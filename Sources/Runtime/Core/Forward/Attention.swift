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
        let normed = workspace.normed
        let query = workspace.query
        let key = workspace.key
        let value = workspace.value

        kernels.normalise(workspace.hidden, rows: rows, weight: layer.attentionNorm, epsilon: epsilon, into: normed)
        kernels.multiplyFinely(
            normed, rows: rows, includingBF16: false,
            into: [.init(matrix: layer.query, y: query), .init(matrix: layer.key, y: key), .init(matrix: layer.value, y: value)],
            scratch: workspace.scratch)

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
        kernels.multiply(attended, rows: rows, into: [.init(matrix: layer.attentionOutput, y: projected)], scratch: workspace.scratch)
        if let weight = layer.attentionPostNorm {
            kernels.normalise(projected, rows: rows, weight: weight, epsilon: epsilon, into: projected)
        }
        kernels.add(projected, to: workspace.hidden, rows: rows)
    }
}
