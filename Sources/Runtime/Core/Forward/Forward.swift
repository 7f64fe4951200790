internal import CKernels

extension Model {
    /// Runs one step: appends every run's tokens to its sequence, and leaves the logits that were asked for in the workspace.
    ///
    /// Shapes: rows are the batch's tokens, run after run. At most `options.maximumBatchTokens` of them; the cache has
    /// pages reserved for all; token ids are below the vocabulary size.
    public func forward(_ batch: borrowing Batch, cache: inout KVCache, workspace: inout Workspace) {
        var rows = place(batch, &cache, workspace)
        let runs = UnsafeBufferPointer(start: workspace.runs, count: batch.runs.count)
        let hidden = workspace.hidden  // [rows, hidden]

        embed(batch, workspace)
        for (index, layer) in layers.enumerated() {
            attention(layer, cache.layer(index), rows: rows, runs, workspace)
            if index == layers.count - 1 { rows = keepWantedRows(of: batch, hidden) }
            feedForward(layer, rows: rows, workspace)
        }

        // From here on, rows are the logits that were asked for.
        let kernels = workspace.kernels
        let logits = workspace.output
        kernels.multiply(
            .normalised(hidden, weight: outputNorm, epsilon: hyperparameters.normEpsilon), rows: rows, finely: true,
            includingBF16: true, into: [.init(matrix: output, y: logits)], scratch: workspace.scratch)
        if hyperparameters.finalSoftcap > 0 { kernels.softcap(logits, rows: rows, at: hyperparameters.finalSoftcap) }

        workspace.logitsRows = rows
        for run in batch.runs { cache.advance(run.slot, by: run.tokens.count) }
    }

    /// Lists the runs for the kernels and lays out the angles of every row's position.
    /// - Returns: the number of rows.
    private func place(_ batch: borrowing Batch, _ cache: inout KVCache, _ workspace: borrowing Workspace) -> Int {
        var row = 0
        for (index, run) in batch.runs.enumerated() {
            precondition(!run.tokens.isEmpty && row + run.tokens.count <= workspace.rows, "a batch is at most what the workspace holds")
            let place = cache.run(run.slot, tokens: run.tokens.count, firstRow: row)
            workspace.runs[index] = place
            for offset in 0..<run.tokens.count {
                rope.angles(at: Int(place.position) + offset, into: workspace.angles[row + offset])
                windowRope?.angles(at: Int(place.position) + offset, into: workspace.windowAngles[row + offset])
            }
            row += run.tokens.count
        }
        return row
    }

    private func embed(_ batch: borrowing Batch, _ workspace: borrowing Workspace) {
        var row = 0
        for run in batch.runs {
            for token in run.tokens {
                Kernels.copyRow(Int(token), of: embedding, to: workspace.hidden[row])
                row += 1
            }
        }
        let scale = hyperparameters.embeddingScale
        if scale != 1 { workspace.kernels.scale(workspace.hidden, rows: row, by: scale) }
    }

    /// Moves the rows whose logits are wanted to the front: nothing reads the others any more.
    /// - Returns: how many they are.
    private func keepWantedRows(of batch: borrowing Batch, _ x: Buffer) -> Int {
        var row = 0
        var kept = 0
        for run in batch.runs {
            row += run.tokens.count
            for wanted in row - run.logitsCount..<row {
                if wanted != kept { x[kept].update(from: x[wanted], count: x.width) }
                kept += 1
            }
        }
        return kept
    }
}
