internal import CKernels
public import Weights

/// What a model will be once it is loaded, without loading it: every tensor's executed form, and what memory it takes.
public struct ModelSummary: Sendable {
    public struct Tensor: Sendable {
        public let name: TensorName
        public let role: TensorRole
        public let shape: [Int]
        /// As the file has it: `Q4_K`.
        public let storedFormat: String
        public let storedBytes: Int
        /// As it runs: `4-bit codes, groups of 32, two-level scales and offsets`.
        public let executedForm: String
        public let executedBytes: Int

        public var executedBitsPerWeight: Double { 8 * Double(executedBytes) / Double(max(1, shape.reduce(1, *))) }
    }

    public let architecture: Architecture
    public let hyperparameters: Hyperparameters
    /// In the order of the forward pass.
    public let tensors: [Tensor]
    /// All weights in executed form.
    public let packedBytes: Int
    /// Keys and values of one position in all layers.
    public let cacheBytesPerToken: Int
    /// One page of `KVCache.pageTokens` positions.
    public let cacheBytesPerPage: Int
    /// Buffers of a step, without logits.
    public let workspaceBytes: Int
    /// Each row of logits that a step is asked for.
    public let logitsBytesPerRow: Int

    /// Finds and checks every tensor as loading does. Of their bytes it reads scales, as far as these have something in common.
    /// - Throws: what is wrong with the file.
    public init(_ source: any ModelSource, options: ModelOptions) throws(ModelError) {
        try options.check()
        let team = Team(threads: options.threads)
        let plan = try Binder.plan(source, precise: options.precise, team.kernels)
        architecture = plan.architecture
        hyperparameters = plan.hyperparameters
        packedBytes = plan.bytes
        cacheBytesPerPage = CacheLayout(plan.hyperparameters, options).bytesPerPage
        cacheBytesPerToken = cacheBytesPerPage / KVCache.pageTokens
        workspaceBytes = Workspace.bytes(plan.hyperparameters, options: options)
        logitsBytesPerRow = 4 * plan.hyperparameters.vocabularySize
        tensors = plan.tensors.map { tensor in
            Tensor(
                name: tensor.record.name, role: tensor.role, shape: tensor.record.shape, storedFormat: tensor.record.format.name,
                storedBytes: tensor.record.byteCount, executedForm: tensor.executedForm, executedBytes: tensor.bytes)
        }
    }
}

extension TensorPlan {
    fileprivate var executedForm: String {
        guard case .panels(let form, _) = form else { return "f32" }
        switch record.format.packing {
        case .dense(let number): return number.rawValue
        case .codes(let bits, _, let scale, _, _, let codebook, _):
            let scales =
                switch scale {
                case .flat(let number): number.rawValue
                case .twoLevel: "two-level"
                case .e8m0: "e8m0"
                case .e4m3: "e4m3"
                }
            return "\(bits)-bit codes\(codebook.isEmpty ? "" : " of a codebook"), groups of \(form.group), \(scales) scales"
                + (form.has_offset ? " and offsets" : "")
        }
    }
}
