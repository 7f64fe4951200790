public import Weights

/// What each matrix was multiplied by, column by column, as sums of squares: how much an error in that column would cost.
///
/// Kept in precise mode alone, and only by a workspace that was made for it; the packed path does not know of it.
struct InputSquares {
    private struct Sums {
        var rows = 0
        var columns: [Double]
    }

    private var sums: [UnsafePointer<Float>: Sums] = [:]  // by where the matrix lies

    mutating func add(_ x: Buffer, rows: Int, by weights: UnsafePointer<Float>) {
        var seen = sums.removeValue(forKey: weights) ?? Sums(columns: Array(repeating: 0, count: x.width))
        seen.rows += rows
        for row in 0..<rows {
            let values = x[row]
            for column in 0..<x.width { seen.columns[column] += Double(values[column]) * Double(values[column]) }
        }
        sums[weights] = seen
    }

    /// Nil for a matrix that was not used.
    func means(_ weights: UnsafePointer<Float>) -> [Float]? {
        guard let seen = sums[weights], seen.rows > 0 else { return nil }
        return seen.columns.map { Float($0 / Double(seen.rows)) }
    }
}

extension Model {
    /// The mean square of each column's input, for every matrix that a workspace has seen at work, by the matrix's name in its source.
    ///
    /// The embedding counts where it is the output, too.
    /// - Parameter workspace: made by ``makeWorkspace(observingInputs:)`` of a precise model.
    public func inputMeanSquares(seenBy workspace: borrowing Workspace) -> [TensorName: [Float]] {
        guard let squares = workspace.kernels.squares else { return [:] }
        var found: [TensorName: [Float]] = [:]
        for (name, weights) in exactMatrices { found[name] = squares.pointee.means(weights) }
        return found
    }
}
