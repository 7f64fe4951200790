public import Compute
public import Text
public import Weights

/// What a model is called and where it comes from, for lists and reports.
public struct ModelInfo: Sendable, Equatable {
    /// The name under which clients ask for it.
    public var id: String
    public var path: String
    public var format: String  // "gguf", "mlx", "safetensors"
    public var quantization: String?  // as the file names it: "Q4_1", "4-bit, groups of 64"
    public var architecture: String
    public var sizeBytes: Int  // of its files
    public var contextLength: Int  // that it was made for

    public init(
        id: String, path: String, format: String, quantization: String?, architecture: String, sizeBytes: Int, contextLength: Int
    ) {
        self.id = id
        self.path = path
        self.format = format
        self.quantization = quantization
        self.architecture = architecture
        self.sizeBytes = sizeBytes
        self.contextLength = contextLength
    }
}

/// A model ready to be given to the engine: weights, tokenizer, chat template, and what to call it.
public struct LoadedModel: Sendable {
    public let info: ModelInfo
    public let tokenizer: Tokenizer
    public let template: ChatTemplate?
    /// Replaces the engine's option of the same name for this model.
    public var contextLength: Int?
    /// Replaces the engine's option of the same name for this model.
    public var parallel: Int?

    /// Bytes that the weights take in memory.
    let weightBytes: Int
    /// Bytes that a step writes, without logits.
    let workspaceBytes: Int
    let logitsBytesPerRow: Int
    let pageTokens: Int
    let bytesPerPage: Int
    /// Builds the cache of so many pages and the working memory, on the thread that calls it.
    let makeStep: @Sendable (_ pages: Int) throws(ModelError) -> any StepModel

    public var id: String { info.id }

    public init(info: ModelInfo, model: Model, tokenizer: Tokenizer, template: ChatTemplate?) throws(ModelError) {
        self.info = info
        self.tokenizer = tokenizer
        self.template = template
        weightBytes = model.packedBytes
        workspaceBytes = model.workspaceBytes
        logitsBytesPerRow = 4 * model.hyperparameters.vocabularySize
        pageTokens = KVCache.pageTokens
        bytesPerPage = try model.makeCache(pages: 1).bytesPerPage
        makeStep = { (pages) throws(ModelError) in try ComputeStepModel(model, pages: pages) }
    }

    /// Any step model; for tests.
    package init(
        info: ModelInfo, tokenizer: Tokenizer, template: ChatTemplate? = nil, weightBytes: Int = 0, workspaceBytes: Int = 0,
        pageTokens: Int = 32, bytesPerPage: Int = 0,
        makeStep: @escaping @Sendable (_ pages: Int) throws(ModelError) -> any StepModel
    ) {
        self.info = info
        self.tokenizer = tokenizer
        self.template = template
        self.weightBytes = weightBytes
        self.workspaceBytes = workspaceBytes
        logitsBytesPerRow = 0
        self.pageTokens = pageTokens
        self.bytesPerPage = bytesPerPage
        self.makeStep = makeStep
    }
}
