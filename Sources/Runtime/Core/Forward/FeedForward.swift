extension Model {
    /// hidden += down( activation(gate(norm(hidden))) · up(norm(hidden)) )
    func feedForward(_ layer: borrowing Layer, rows: Int, _ workspace: borrowing Workspace) {
        let kernels = workspace.kernels
        let epsilon = hyperparameters.normEpsilon
        let normed = workspace.normed
        let gate = workspace.gate
        let up = workspace.up
        let projected = workspace.projected

        kernels.normalise(workspace.hidden, rows: rows, weight: layer.feedForwardNorm, epsilon: epsilon, into: normed)
        kernels.multiply(
            normed, rows: rows, into: [.init(matrix: layer.gate, y: gate), .init(matrix: layer.up, y: up)], scratch: workspace.scratch)
        kernels.gate(gate, up, rows: rows, architecture.activation)
        kernels.multiply(gate, rows: rows, into: [.init(matrix: layer.down, y: projected)], scratch: workspace.scratch)
        if let weight = layer.feedForwardPostNorm {
            kernels.normalise(projected, rows: rows, weight: weight, epsilon: epsilon, into: projected)
        }
        kernels.add(projected, to: workspace.hidden, rows: rows)
    }
}
