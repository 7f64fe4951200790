extension Model {
    /// hidden += down( activation(gate(norm(hidden))) · up(norm(hidden)) )
    func feedForward(_ layer: borrowing Layer, rows: Int, _ workspace: borrowing Workspace) {
        let kernels = workspace.kernels
        let epsilon = hyperparameters.normEpsilon
        let hidden = workspace.hidden
        let gate = workspace.gate
        let up = workspace.up
        let projected = workspace.projected
        let scratch = workspace.scratch

        kernels.multiply(
            .normalised(hidden, weight: layer.feedForwardNorm, epsilon: epsilon), rows: rows,
            into: [.init(matrix: layer.gate, y: gate), .init(matrix: layer.up, y: up)], scratch: scratch)

        let gated = Kernels.Input.gated(gate, up: up, architecture.activation)
        if let weight = layer.feedForwardPostNorm {
            kernels.multiply(gated, rows: rows, into: [.init(matrix: layer.down, y: projected)], scratch: scratch)
            kernels.normalise(projected, rows: rows, weight: weight, epsilon: epsilon, into: projected)
            kernels.add(projected, to: hidden, rows: rows)
        } else {
            kernels.multiply(gated, rows: rows, by: layer.down, addingTo: hidden, through: projected, scratch: scratch)
        }
    }
}
