internal import CBLAS
internal import CKernels

/// The owner of a team of threads; the thread that makes it is its member 0, or stands in for it.
struct Team: ~Copyable {
    let kernels: Kernels

    /// - Parameter observingInputs: keeps what exact products read.
    init(threads: Int, observingInputs: Bool = false) {
        var squares: UnsafeMutablePointer<InputSquares>?
        if observingInputs {
            squares = .allocate(capacity: 1)
            squares?.initialize(to: InputSquares())
        }
        kernels = Kernels(
            team: ck_team_create(Int32(clamping: max(threads, 1))), products: .allocate(capacity: Kernels.mostProducts), squares: squares)
        openblas_set_num_threads(1)  // our team splits the rows
    }

    deinit {
        ck_team_destroy(kernels.team)
        kernels.products.deallocate()
        kernels.squares?.deinitialize(count: 1)
        kernels.squares?.deallocate()
    }
}

/// The typed face of CKernels and of OpenBLAS. Preconditions live here.
///
/// A view of a team, plain bits. All calls come from one thread at a time.
struct Kernels {
    /// What products read: rows of a buffer, or what becomes of them on the way, without a pass of its own.
    enum Input {
        case plain(Buffer)
        /// x / rms(x) · weight
        case normalised(Buffer, weight: UnsafePointer<Float>, epsilon: Float)
        /// activation(gate) · up
        case gated(Buffer, up: Buffer, Architecture.Activation)

        fileprivate var buffer: Buffer {
            switch self {
            case .plain(let x), .normalised(let x, _, _), .gated(let x, _, _): x
            }
        }
    }

    /// y = x · matrixᵀ + bias, one of several products that share an input.
    struct Product {
        let matrix: PackedMatrix
        let y: Buffer  // [rows of x, matrix.rows]
    }

    fileprivate let team: OpaquePointer
    fileprivate let products: UnsafeMutablePointer<ck_product>
    let squares: UnsafeMutablePointer<InputSquares>?  // nil but where inputs are observed
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

    /// All products of `rows` rows of an input.
    ///
    /// Dense weights too run through the panels, whose order of sums is fixed: BLAS is no faster at prompts of 512 and
    /// does not promise one. Only precise mode uses it.
    /// - Parameters:
    ///   - finely: inputs of 16 bits instead of 8, for products that feed every later one: queries, keys, values, logits.
    ///     Costs nearly twice the work. Dense weights take their input as it is, but bf16 ones round it to bf16.
    ///   - includingBF16: with bf16 weights too, for a product alone; y then has room for 2 × `rows`.
    ///   - scratch: as large as `scratchBytes` says for so many rows of this width.
    func multiply<let count: Int>(
        _ input: Input, rows: Int, finely: Bool = false, includingBF16: Bool = false, into results: [count of Product],
        scratch: UnsafeMutableRawPointer
    ) {
        precondition(count <= Self.mostProducts)
        guard rows > 0 else { return }
        for index in 0..<count {
            let product = results[index]
            precondition(product.matrix.columns == input.buffer.width && product.matrix.rows == product.y.width)
            switch product.matrix.form {
            case .panels(let matrix):
                products[index] = ck_product(
                    matrix: matrix, bias: product.matrix.bias, y: product.y.base, stride: Int64(product.y.width), adds: false)
            case .exact(let weights):  // then all of them are
                let x = index == 0 ? workedOut(input, rows: rows, in: scratch) : Buffer(floatsIn: scratch, width: input.buffer.width)
                squares?.pointee.add(x, rows: rows, by: weights)
                multiplyExactly(x, rows: rows, weights: weights, product)
                if index == count - 1 { return }
            }
        }
        if includingBF16, count == 1, products[0].matrix.pointee.form.values == UInt8(CK_BF16.rawValue) {
            multiplyInTwo(input, rows: rows, scratch)
        } else {
            linear(input, rows: rows, finely: finely, count, scratch)
        }
    }

    /// The input of bf16 weights as two rows of bf16: the rounded one, and what rounding leaves over.
    private func multiplyInTwo(_ input: Input, rows: Int, _ scratch: UnsafeMutableRawPointer) {
        let x = workedOut(input, rows: rows, in: scratch)
        let product = products[0]
        products[0].bias = nil
        ck_residual(team, x.base, Int64(rows), Int64(x.width))
        linear(.plain(x), rows: 2 * rows, finely: false, 1, scratch + (8 * rows * x.width + 63) / 64 * 64)
        ck_join(team, product.y, Int64(rows), product.stride, product.bias)
    }

    /// target += x · matrixᵀ + bias
    /// - Parameter through: room for the product by itself, for weights that are not codes.
    func multiply(
        _ input: Input, rows: Int, by matrix: PackedMatrix, addingTo target: Buffer, through: Buffer, scratch: UnsafeMutableRawPointer
    ) {
        guard rows > 0 else { return }
        guard case .panels(let panels) = matrix.form, panels.pointee.form.values == UInt8(CK_CODES.rawValue) else {
            multiply(input, rows: rows, into: [.init(matrix: matrix, y: through)], scratch: scratch)
            return add(through, to: target, rows: rows)
        }
        precondition(matrix.columns == input.buffer.width && matrix.rows == target.width)
        products[0] = ck_product(matrix: panels, bias: matrix.bias, y: target.base, stride: Int64(target.width), adds: true)
        linear(input, rows: rows, finely: false, 1, scratch)
    }

    /// The input as a buffer of its own, in the scratch.
    private func workedOut(_ input: Input, rows: Int, in scratch: UnsafeMutableRawPointer) -> Buffer {
        let x = input.buffer
        let y = Buffer(floatsIn: scratch, width: x.width)
        switch input {
        case .normalised(_, let weight, let epsilon): normalise(x, rows: rows, weight: weight, epsilon: epsilon, into: y)
        case .plain: y.base.update(from: x.base, count: rows * x.width)
        case .gated(_, let up, let activation):
            y.base.update(from: x.base, count: rows * x.width)
            gate(y, up, rows: rows, activation)
        }
        return y
    }

    private func linear(_ input: Input, rows: Int, finely: Bool, _ count: Int, _ scratch: UnsafeMutableRawPointer) {
        let x = input.buffer
        var source = ck_source()
        source.x = UnsafePointer(x.base)
        source.stride = Int64(x.width)
        source.fine = finely
        switch input {
        case .plain: break
        case .normalised(_, let weight, let epsilon):
            source.norm = weight
            source.epsilon = epsilon
        case .gated(_, let up, let activation):
            source.up = UnsafePointer(up.base)
            source.activation = activation == .silu ? CK_SILU : CK_GELU_TANH
        }
        ck_linear(team, &source, Int64(rows), Int64(x.width), products, Int32(count), scratch)
    }

    /// - Parameter includingBF16: whether bf16 weights of this width may ask for their input in two.
    static func scratchBytes(rows: Int, columns: Int, includingBF16: Bool = false) -> Int {
        if !includingBF16 { return ck_linear_scratch(Int64(rows), Int64(columns)) }
        return 64 + 8 * rows * columns + ck_linear_scratch(Int64(2 * rows), Int64(columns))
    }

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
    private func gate(_ gate: Buffer, _ up: Buffer, rows: Int, _ activation: Architecture.Activation) {
        ck_glu(team, activation == .silu ? CK_SILU : CK_GELU_TANH, gate.base, up.base, Int64(rows * gate.width))
    }

    func add(_ y: Buffer, to x: Buffer, rows: Int) { ck_add(team, x.base, y.base, Int64(rows * x.width)) }
    func scale(_ x: Buffer, rows: Int, by factor: Float) { ck_scale(team, x.base, factor, Int64(rows * x.width)) }
    func softcap(_ x: Buffer, rows: Int, at cap: Float) { ck_softcap(team, x.base, cap, Int64(rows * x.width)) }
}
