internal import CKernels

/// A view of one matrix in executed form, and of the bias that belongs to it. Plain bits; the model owns what they point to.
struct PackedMatrix {
    /// How the weights lie.
    enum Form {
        /// Panels of 16 rows, as the kernels want them.
        case panels(UnsafePointer<ck_matrix>)
        /// Precise mode: [rows, columns] exact floats, row by row, as BLAS wants them.
        case exact(UnsafePointer<Float>)
    }

    let form: Form
    let rows: Int
    let columns: Int
    let bias: UnsafePointer<Float>?  // [rows]
}

/// Rows of floats somewhere in the workspace. How many rows are in use is the step's affair.
struct Buffer {
    let base: UnsafeMutablePointer<Float>
    let width: Int

    init(base: UnsafeMutablePointer<Float>, width: Int) {
        self.base = base
        self.width = width
    }

    /// A view of memory that is used for other things too.
    init(floatsIn memory: UnsafeMutableRawPointer, width: Int) {
        self.init(base: memory.assumingMemoryBound(to: Float.self), width: width)
    }

    subscript(row: Int) -> UnsafeMutablePointer<Float> { base + row * width }
}
