internal import CKernels
internal import Weights

/// Every buffer that a step writes, allocated once for the largest step, and the threads that fill them.
///
/// Only memory that is written costs anything: room for the logits of every row is kept, but rarely touched.
public struct Workspace: ~Copyable {
    private let team: Team
    let rows: Int  // the most tokens of a step

    let hidden: Buffer  // [tokens, hidden] the residual stream
    let query: Buffer  // [tokens, heads × keySize]
    let key: Buffer  // [tokens, keyValueHeads × keySize]
    let value: Buffer  // [tokens, keyValueHeads × valueSize]
    let attended: Buffer  // [tokens, heads × valueSize]
    let projected: Buffer  // [tokens, hidden] what half a block adds to the stream
    let gate: Buffer  // [tokens, feedForward]
    let up: Buffer  // [tokens, feedForward]
    let angles: Buffer  // [tokens, rotated] cosines and sines of a row's position
    let windowAngles: Buffer  // the same for layers with a window, where they have a base of their own
    let output: Buffer  // [2 × logits rows, vocabulary], the second half for inputs in two
    let runs: UnsafeMutablePointer<ck_run>  // [tokens]
    let scratch: UnsafeMutableRawPointer  // of the products
    let attentionScratch: UnsafeMutableRawPointer
    private let memory: AlignedMemory
    private let outputMemory: AlignedMemory

    var kernels: Kernels { team.kernels }

    /// How many rows of logits the last step left.
    public internal(set) var logitsRows = 0

    init(_ sizes: Hyperparameters, options: ModelOptions, observingInputs: Bool = false) throws(ModelError) {
        let total = Self.bytes(sizes, options: options)
        let memory = try AlignedMemory(bytes: total, purpose: "workspace")
        let rows = options.maximumBatchTokens
        let outputMemory = try AlignedMemory(bytes: 8 * rows * sizes.vocabularySize, purpose: "logits", sparse: true)
        var used = 0
        let base = memory.base
        func take(_ bytes: Int) -> UnsafeMutableRawPointer {
            defer { used += Self.aligned(bytes) }
            return base + used
        }
        func buffer(_ width: Int) -> Buffer { Buffer(floatsIn: take(4 * rows * width), width: width) }

        hidden = buffer(sizes.hidden)
        query = buffer(sizes.heads * sizes.keySize)
        key = buffer(sizes.keyValueHeads * sizes.keySize)
        value = buffer(sizes.keyValueHeads * sizes.valueSize)
        attended = buffer(sizes.heads * sizes.valueSize)
        projected = buffer(sizes.hidden)
        gate = buffer(sizes.feedForward)
        up = buffer(sizes.feedForward)
        angles = buffer(sizes.rotated)
        windowAngles = buffer(sizes.windowRotation == nil ? 0 : sizes.rotated)
        runs = take(rows * MemoryLayout<ck_run>.stride).bindMemory(to: ck_run.self, capacity: rows)
        scratch = take(Self.scratchBytes(sizes, rows: rows))
        attentionScratch = take(Self.attentionScratchBytes(sizes, options: options))
        precondition(used == total, "the sum and the parts say the same")

        output = Buffer(floatsIn: outputMemory.base, width: sizes.vocabularySize)
        team = Team(threads: options.threads, observingInputs: observingInputs)
        self.rows = rows
        self.memory = memory
        self.outputMemory = outputMemory
    }

    /// One row of the last step's logits: `vocabularySize` floats, valid until the next step.
    /// - Parameter row: the index among the rows that the batch asked for, in its order.
    public func logits(_ row: Int) -> UnsafeBufferPointer<Float> {
        precondition(row >= 0 && row < logitsRows)
        return UnsafeBufferPointer(start: output[row], count: output.width)
    }

    /// What a workspace takes, without the logits: four bytes per vocabulary entry and row asked for.
    static func bytes(_ sizes: Hyperparameters, options: ModelOptions) -> Int {
        let rows = options.maximumBatchTokens
        let widths = [
            sizes.hidden, sizes.heads * sizes.keySize, sizes.keyValueHeads * sizes.keySize, sizes.keyValueHeads * sizes.valueSize,
            sizes.heads * sizes.valueSize, sizes.hidden, sizes.feedForward, sizes.feedForward, sizes.rotated,
            sizes.windowRotation == nil ? 0 : sizes.rotated,
        ]
        return widths.reduce(0) { $0 + aligned(4 * rows * $1) } + aligned(rows * MemoryLayout<ck_run>.stride)
            + aligned(scratchBytes(sizes, rows: rows)) + aligned(attentionScratchBytes(sizes, options: options))
    }

    private static func aligned(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

    private static func scratchBytes(_ sizes: Hyperparameters, rows: Int) -> Int {
        let others = [sizes.heads * sizes.valueSize, sizes.feedForward].map { Kernels.scratchBytes(rows: rows, columns: $0) }
        return others.reduce(Kernels.scratchBytes(rows: rows, columns: sizes.hidden, includingBF16: true)) { max($0, $1) }
    }

    private static func attentionScratchBytes(_ sizes: Hyperparameters, options: ModelOptions) -> Int {
        Kernels.attentionScratchBytes(
            members: options.threads, shape: sizes.attentionShape(layer: 0), layer: CacheLayout(sizes, options).shape)
    }
}
