internal import CKernels
public import Weights

/// What keys and values are kept in.
public enum CacheFormat: String, Sendable, CaseIterable {
    /// Half precision.
    case f16
    /// Signed bytes, with a half-precision scale for every 32 numbers of a key and 64 of a value: a little more than
    /// half the memory, and faster the longer the sequence.
    case q8
}

/// How a model is to be run.
public struct ModelOptions: Sendable {
    /// Weights decoded exactly to f32, activations, keys and values in f32: slow, and the measure of accuracy.
    ///
    /// Products go through OpenBLAS, whose order of summation depends on the number of rows: only without this are a
    /// token's logits bit for bit independent of batch, chunks and threads.
    public var precise: Bool
    /// Threads that compute, the caller's included.
    public var threads: Int
    /// The most tokens that one step runs.
    public var maximumBatchTokens: Int
    /// What keys and values are kept in; f32 in precise mode, whatever this says.
    public var cache: CacheFormat

    public init(precise: Bool = false, threads: Int, maximumBatchTokens: Int = 512, cache: CacheFormat = .f16) {
        self.precise = precise
        self.threads = threads
        self.maximumBatchTokens = maximumBatchTokens
        self.cache = cache
    }

    func check() throws(ModelError) {
        for (name, value, range) in [("threads", threads, 1...256), ("maximumBatchTokens", maximumBatchTokens, 1...8192)] {
            guard range.contains(value) else {
                throw ModelError(.outOfRange, at: name, "\(value) is not between \(range.lowerBound) and \(range.upperBound)")
            }
        }
    }
}

/// A model in executed form, ready to run. Immutable: what changes lies in the cache and the workspace.
public final class Model: @unchecked Sendable {  // the memory that its pointers lead to is written before init returns, and never after
    public let architecture: Architecture
    public let hyperparameters: Hyperparameters
    public let options: ModelOptions
    /// Bytes of all weights in executed form.
    public let packedBytes: Int

    let embedding: PackedMatrix  // [vocabulary, hidden]
    let layers: [Layer]
    let outputNorm: UnsafePointer<Float>  // [hidden]
    let output: PackedMatrix  // [vocabulary, hidden]; the embedding where the file has none
    let rope: Rope
    let windowRope: Rope?
    private let weights: PackedWeights

    public var architectureName: String { architecture.name }

    /// Reads, checks and packs all weights.
    /// - Parameter progress: called on this thread with the share done, 0...1, while packing; what it throws ends the load.
    /// - Throws: what is wrong with the file, or `insufficient_memory`.
    public static func load(
        _ source: any ModelSource, options: ModelOptions, progress: (@Sendable (Double) throws(ModelError) -> Void)? = nil
    ) throws(ModelError) -> Model {
        try options.check()
        let team = Team(threads: options.threads)
        let plan = try Binder.plan(source, precise: options.precise, team.kernels)
        let weights = try Packer.pack(plan, of: source, team.kernels, progress: progress)
        return Model(plan, weights, options)
    }

    private init(_ plan: ModelPlan, _ weights: PackedWeights, _ options: ModelOptions) {
        architecture = plan.architecture
        hyperparameters = plan.hyperparameters
        self.options = options
        self.weights = weights
        packedBytes = plan.bytes
        embedding = weights.matrix(.tokenEmbedding)
        output = plan.has(.output) ? weights.matrix(.output) : weights.matrix(.tokenEmbedding)
        outputNorm = weights.vector(.outputNorm)
        layers = (0..<plan.hyperparameters.layers).map { Layer(weights, index: $0, plan.hyperparameters) }
        rope = Rope(plan.hyperparameters.rotation, rotated: plan.hyperparameters.rotated, divisors: plan.ropeDivisors)
        windowRope = plan.hyperparameters.windowRotation.map { Rope($0, rotated: plan.hyperparameters.rotated) }
    }

    public func makeCache(pages: Int) throws(ModelError) -> KVCache {
        try KVCache(
            pages: pages, layout: CacheLayout(hyperparameters, options), contextLength: hyperparameters.contextLength)
    }

    /// What a workspace takes, without the logits.
    public var workspaceBytes: Int { Workspace.bytes(hyperparameters, options: options) }

    /// - Parameter observingInputs: in precise mode, keeps what ``inputMeanSquares(seenBy:)`` tells.
    public func makeWorkspace(observingInputs: Bool = false) throws(ModelError) -> Workspace {
        precondition(options.precise || !observingInputs, "only precise mode has its inputs as floats")
        return try Workspace(hyperparameters, options: options, observingInputs: observingInputs)
    }

    /// Where precise mode keeps each tensor, by its name in the source.
    var exactMatrices: [(name: TensorName, weights: UnsafePointer<Float>)] { weights.exactTensors }
}

/// One block of the model. Plain bits.
struct Layer {
    let attentionNorm: UnsafePointer<Float>  // [hidden]
    let query: PackedMatrix  // [heads × keySize, hidden]
    let key: PackedMatrix  // [keyValueHeads × keySize, hidden]
    let value: PackedMatrix  // [keyValueHeads × valueSize, hidden]
    let queryNorm: UnsafePointer<Float>?  // [keySize]
    let keyNorm: UnsafePointer<Float>?  // [keySize]
    let attentionOutput: PackedMatrix  // [hidden, heads × valueSize]
    let attentionPostNorm: UnsafePointer<Float>?  // [hidden]
    let feedForwardNorm: UnsafePointer<Float>  // [hidden]
    let gate: PackedMatrix  // [feedForward, hidden]
    let up: PackedMatrix  // [feedForward, hidden]
    let down: PackedMatrix  // [hidden, feedForward]
    let feedForwardPostNorm: UnsafePointer<Float>?  // [hidden]
    let hasWindow: Bool
    let shape: ck_attention_shape

    init(_ weights: PackedWeights, index: Int, _ sizes: Hyperparameters) {
        attentionNorm = weights.vector(.attentionNorm, index)
        query = weights.matrix(.query, index)
        key = weights.matrix(.key, index)
        value = weights.matrix(.value, index)
        queryNorm = weights.find(.queryNorm, index)
        keyNorm = weights.find(.keyNorm, index)
        attentionOutput = weights.matrix(.attentionOutput, index)
        attentionPostNorm = weights.find(.attentionPostNorm, index)
        feedForwardNorm = weights.vector(.feedForwardNorm, index)
        gate = weights.matrix(.gate, index)
        up = weights.matrix(.up, index)
        down = weights.matrix(.down, index)
        feedForwardPostNorm = weights.find(.feedForwardPostNorm, index)
        hasWindow = sizes.hasWindow[index]
        shape = sizes.attentionShape(layer: index)
    }
}
