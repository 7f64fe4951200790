internal import CBLAS
internal import CKernels

/// The owner of a team of threads; the thread that makes it is its member 0, or stands in for it.
struct Team: ~Copyable {
    let kernels: Kernels

    init(threads: Int) {
        kernels = Kernels(team: ck_team_create(Int32(clamping: max(threads, 1))), products: .allocate(capacity: Kernels.mostProducts))
        openblas_set_num_threads(1)  // our team splits the rows
    }

    deinit {
        ck_team_destroy(kernels.team)
        kernels.products.deallocate()
    }
}

/// The typed face of CKernels and of OpenBLAS. Preconditions live here.
///
/// A view of a team, plain bits. All calls come from one thread at a time.
struct Kernels {
    /// y = x · matrixᵀ + bias, one of several products that share an input.
    struct Product {
        let matrix: PackedMatrix
        let y: Buffer  // [rows of x, matrix.rows]
    }

    fileprivate let team: OpaquePointer
    fileprivate let products: UnsafeMutablePointer<ck_product>
    fileprivate static let mostProducts = 3

    var members: Int { Int(ck_team_members(team)) }

    /// Runs `work(member, members)` on every member of the team.
    func run(_ work: (Int, Int) -> Void) {
        withoutActuallyEscaping(work) { work in
            withUnsafePointer(to: work) { work in
                ck_team_run(
                    team,
                    { context, member, members in
                        guard let context else { return }
                        context.assumingMemoryBound(to: ((Int, Int) -> Void).self).pointee(Int(member), Int(members))
                    }, UnsafeMutableRawPointer(mutating: work))
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------ products

    /// All products of `rows` rows of x.
    ///
    /// Dense weights too run through the panels, whose order of sums is fixed: BLAS is no faster at prompts of 512 and
    /// does not promise one. Only precise mode uses it.
    /// - Parameter scratch: as large as `scratchBytes` says for so many rows of this width.
    func multiply<let count: Int>(_ x: Buffer, rows: Int, into results: [count of Product], scratch: UnsafeMutableRawPointer) {
        precondition(count <= Self.mostProducts)
        guard rows > 0 else { return }
        for index in 0..<count {
            let product = results[index]
            precondition(product.matrix.columns == x.width && product.matrix.rows == product.y.width)
            switch product.matrix.form {
            case .panels(let matrix):
                products[index] = ck_product(
                    matrix: matrix, bias: product.matrix.bias, y: product.y.base, stride: Int64(product.y.width))
            case .exact(let weights):
                multiplyExactly(x, rows: rows, weights: weights, product)
                if index == count - 1 { return }
            }
        }
        ck_linear(team, x.base, Int64(x.width), Int64(rows), Int64(x.width), products, Int32(count), scratch)
    }

    /// The same with inputs of about 15 bits instead of 8, for products that feed every later one: queries, keys, values.
    ///
    /// Costs as much as twice the rows. x, the results and the scratch have room for 2 × `rows`. Dense weights take
    /// their input as it is; bf16 ones round it to bf16, and if `includingBF16` to two of them.
    func multiplyFinely<let count: Int>(
        _ x: Buffer, rows: Int, includingBF16: Bool, into results: [count of Product], scratch: UnsafeMutableRawPointer
    ) {
        guard rows > 0, case .panels(let matrix) = results[0].matrix.form else {
            return multiply(x, rows: rows, into: results, scratch: scratch)
        }
        let isBF16 = matrix.pointee.form.values == UInt8(CK_BF16.rawValue)
        guard matrix.pointee.form.values == UInt8(CK_CODES.rawValue) || (isBF16 && includingBF16) else {
            return multiply(x, rows: rows, into: results, scratch: scratch)
        }
        for index in 0..<count {
            let product = results[index]
            guard case .panels(let other) = product.matrix.form, other.pointee.form.values == matrix.pointee.form.values,
                (other.pointee.form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue))
                    == (matrix.pointee.form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue))
            else { return multiply(x, rows: rows, into: results, scratch: scratch) }
            precondition(product.matrix.columns == x.width && product.matrix.rows == product.y.width)
            products[index] = ck_product(matrix: other, bias: nil, y: product.y.base, stride: Int64(product.y.width))
        }
        let isTwoLevel = matrix.pointee.form.scales == UInt8(CK_SCALE_TWO_LEVEL.rawValue)
        let block: Int32 = isBF16 ? 0 : isTwoLevel ? 256 : 32
        ck_residual(team, x.base, Int64(rows), Int64(x.width), block)
        ck_linear(team, x.base, Int64(x.width), Int64(2 * rows), Int64(x.width), products, Int32(count), scratch)
        for index in 0..<count {
            let product = results[index]
            ck_join(team, product.y.base, Int64(rows), Int64(product.y.width), product.matrix.bias)
        }
    }

    static func scratchBytes(rows: Int, columns: Int) -> Int { ck_linear_scratch(Int64(rows), Int64(columns)) }

    /// Through OpenBLAS, each member of the team a share of the matrix rows.
    private func multiplyExactly(_ x: Buffer, rows: Int, weights: UnsafePointer<Float>, _ product: Product) {
        let matrix = product.matrix
        let columns = matrix.columns
        let y = product.y
        run { member, members in
            let first = matrix.rows * member / members
            let last = matrix.rows * (member + 1) / members
            guard first < last else { return }
            let slice = weights + first * columns
            for row in 0..<rows {
                if let bias = matrix.bias {
                    (y[row] + first).update(from: bias + first, count: last - first)
                } else {
                    (y[row] + first).update(repeating: 0, count: last - first)
                }
            }
            if rows == 1 {
                cblas_sgemv(
                    CblasRowMajor, CblasNoTrans, blasint(last - first), blasint(columns), 1, slice, blasint(columns), x.base, 1, 1,
                    y.base + first, 1)
            } else {
                cblas_sgemm(
                    CblasRowMajor, CblasNoTrans, CblasTrans, blasint(rows), blasint(last - first), blasint(columns), 1, x.base,
                    blasint(columns), slice, blasint(columns), 1, y.base + first, blasint(y.width))
            }
        }
    }

    /// Reads one row of a matrix back.
    static func copyRow(_ row: Int, of matrix: PackedMatrix, to values: UnsafeMutablePointer<Float>) {
        precondition(row >= 0 && row < matrix.rows)
        switch matrix.form {
        case .panels(let packed): ck_unpack_row(packed, Int64(row), values)
        case .exact(let weights): values.update(from: weights + row * matrix.columns, count: matrix.columns)
        }
    }

    // ----------------------------------------------------------------------------------------------------- attention

    func store(_ keys: Buffer, _ values: Buffer, runs: UnsafeBufferPointer<ck_run>, in layer: ck_cache_layer) {
        withUnsafePointer(to: layer) {
            ck_cache_store(team, $0, keys.base, values.base, runs.baseAddress, Int32(runs.count))
        }
    }

    func attend(
        _ queries: Buffer, runs: UnsafeBufferPointer<ck_run>, in layer: ck_cache_layer, shape: ck_attention_shape, into out: Buffer,
        scratch: UnsafeMutableRawPointer
    ) {
        withUnsafePointer(to: layer) { layer in
            withUnsafePointer(to: shape) { shape in
                ck_attention(team, shape, layer, queries.base, runs.baseAddress, Int32(runs.count), out.base, scratch)
            }
        }
    }

    static func attentionScratchBytes(members: Int, shape: ck_attention_shape, layer: ck_cache_layer) -> Int {
        withUnsafePointer(to: layer) { layer in
            withUnsafePointer(to: shape) { ck_attention_scratch(Int32(clamping: members), $0, layer) }
        }
    }

    // --------------------------------------------------------------------------------------------------- elementwise

    /// y[row] = x[row] / rms(x[row]) · weight, over rows of the buffers' width.
    func normalise(_ x: Buffer, rows: Int, weight: UnsafePointer<Float>, epsilon: Float, into y: Buffer) {
        ck_rmsnorm(team, x.base, Int64(x.width), weight, epsilon, Int64(rows), Int64(x.width), y.base, Int64(y.width))
    }

    /// The same over every head of every row, in place.
    func normaliseHeads(_ x: Buffer, rows: Int, headSize: Int, weight: UnsafePointer<Float>, epsilon: Float) {
        let heads = rows * (x.width / headSize)
        ck_rmsnorm(team, x.base, Int64(headSize), weight, epsilon, Int64(heads), Int64(headSize), x.base, Int64(headSize))
    }

    func rotate(_ x: Buffer, rows: Int, headSize: Int, angles: Buffer) {
        ck_rope(
            team, x.base, Int64(x.width), Int64(rows), Int32(x.width / headSize), Int32(headSize), Int32(angles.width), angles.base)
    }

    /// gate = activation(gate) · up
    func gate(_ gate: Buffer, _ up: Buffer, rows: Int, _ activation: Architecture.Activation) {
        ck_glu(team, activation == .silu ? CK_SILU : CK_GELU_TANH, gate.base, up.base, Int64(rows * gate.width))
    }

    func add(_ y: Buffer, to x: Buffer, rows: Int) { ck_add(team, x.base, y.base, Int64(rows * x.width)) }
    func scale(_ x: Buffer, rows: Int, by factor: Float) { ck_scale(team, x.base, factor, Int64(rows * x.width)) }
    func softcap(_ x: Buffer, rows: Int, at cap: Float) { ck_softcap(team, x.base, cap, Int64(rows * x.width)) }
}
