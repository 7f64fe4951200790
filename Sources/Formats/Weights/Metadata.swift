/// What a file says about its model besides tensors: one flat table of typed values in the spelling of its dialect.
///
/// GGUF keys stand as they are (`llama.block_count`); `config.json` keys stand as they are, nested ones joined by a dot
/// (`rope_scaling.factor`). ``MetadataKey`` knows both spellings.
public struct Metadata: Sendable {
    public enum Dialect: String, Sendable { case gguf, huggingFace }

    public enum Value: Sendable, Equatable {
        case int(Int)
        case float(Double)
        case bool(Bool)
        case text(String)
        case ints([Int])
        case floats([Double])
        case bools([Bool])
        case texts([String])
    }

    public let dialect: Dialect
    /// The place that errors name: the file.
    public let place: String
    /// `general.architecture` or `model_type`, as the file spells it.
    public let architecture: String
    public private(set) var values: [String: Value]

    public init(dialect: Dialect, place: String, architecture: String, values: [String: Value]) {
        self.dialect = dialect
        self.place = place
        self.architecture = architecture
        self.values = values
    }
}
