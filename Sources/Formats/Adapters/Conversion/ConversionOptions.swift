public import Weights

/// The forms that a conversion writes.
public enum ConversionTarget: String, Sendable, CaseIterable {
    case gguf, mlx
    case huggingFace = "hf"

    var dialect: Metadata.Dialect { self == .gguf ? .gguf : .huggingFace }
}

/// What a conversion may do to numbers. By default nothing: what does not move exactly is refused.
public struct ConversionOptions: Sendable {
    public var target: ConversionTarget
    /// Every matrix is rounded to this.
    public var quantization: Quantization?
    /// Only matrices that do not move exactly are rounded to this.
    public var fallback: Quantization?
    /// Codes stay as they are even where the result grows or its scales are rounded: the K types to MLX, scales beyond f16 to GGUF.
    public var keepsCodes = false
    /// The type of MLX's scales; nil takes the source's, or f32 where nothing else holds them.
    public var scales: Packing.Number?
    /// What ggml's types of fewer than 8 bits are rounded by; nil counts all errors alike.
    public var calibration: Calibration?

    public init(target: ConversionTarget) { self.target = target }
}

/// How much each column of each matrix matters, found by running the model over a text.
public struct Calibration: Sendable {
    /// What the text is called.
    public var text: String
    public var tokens: Int
    /// Mean squares of what each column is multiplied by, by the matrix's name in the source.
    public var importance: [TensorName: [Float]]

    public init(text: String, tokens: Int, importance: [TensorName: [Float]]) {
        self.text = text
        self.tokens = tokens
        self.importance = importance
    }

    /// Weights of mean 1 for the columns of one matrix; empty where nothing is known of it. A column that the text hardly used
    /// keeps a small one, since other texts may use it.
    func weights(of name: TensorName, columns: Int) -> [Float] {
        guard let given = importance[name], given.count == columns else { return [] }
        let mean = given.reduce(0.0) { $0 + Double($1) } / Double(Swift.max(columns, 1))
        guard mean > 0, mean.isFinite else { return [] }
        return given.map { Float(Swift.max(Double($0) / mean, 1e-4)) }
    }
}

/// How the two dialects name one architecture and lay out its tensors.
public struct ConversionArchitecture: Sendable {
    public var layout: CheckpointLayout
    /// `general.architecture`.
    public var ggufName: String
    /// `model_type`.
    public var modelType: String
    /// What a config.json means that leaves a number out.
    public var standard: [MetadataKey: Double]

    public init(layout: CheckpointLayout, ggufName: String, modelType: String, standard: [MetadataKey: Double] = [:]) {
        self.layout = layout
        self.ggufName = ggufName
        self.modelType = modelType
        self.standard = standard
    }
}

/// A choice of stored formats for all matrices of a model.
public struct Quantization: Sendable {
    /// As a command line spells it: `q4_0`, `q4_k_m`, `f16`, `affine 4-bit group 64`.
    public let name: String
    let base: any QuantFormat
    private let mixture: Mixture
    /// GGUF's number for the kind of file.
    let fileType: Int?

    /// Which matrices get more bits than the rest.
    private enum Mixture { case none, output, small, medium }

    private init(_ name: String, _ base: any QuantFormat, _ mixture: Mixture, fileType: Int?) {
        self.name = name
        self.base = base
        self.mixture = mixture
        self.fileType = fileType
    }

    /// ggml's types and mixtures, and plain numbers.
    /// - Parameter pure: the same type for every matrix.
    public static func ggml(_ name: String, pure: Bool = false) -> Quantization? {
        guard let entry = table.first(where: { $0.name == name }) else { return nil }
        return Quantization(name, entry.base, pure ? .none : entry.mixture, fileType: entry.fileType)
    }

    /// Whether a ``Calibration`` changes what it writes.
    public var canBeCalibrated: Bool {
        switch base {
        case is Q4_0, is Q4_1, is Q5_0, is Q5_1, is Q4_K, is Q5_K, is Q6_K: true
        default: false
        }
    }

    /// The names that ``ggml(_:pure:)`` knows.
    public static var names: [String] { table.map(\.name) }

    /// MLX's affine quantisation; nil for a width or group that it does not have.
    public static func affine(bits: Int, group: Int, scale: Packing.Number) -> Quantization? {
        Affine.make(bits: bits, group: group, scale: scale).map { Quantization("affine \(bits)-bit group \(group)", $0, .none, fileType: nil) }
    }

    private static let table: [(name: String, base: any QuantFormat, mixture: Mixture, fileType: Int)] = [
        ("f32", Dense(.f32), .none, 0), ("f16", Dense(.f16), .none, 1), ("bf16", Dense(.bf16), .none, 32),
        ("q4_0", Q4_0(), .output, 2), ("q4_1", Q4_1(), .output, 3), ("q5_0", Q5_0(), .output, 8), ("q5_1", Q5_1(), .output, 9),
        ("q8_0", Q8_0(), .none, 7), ("q4_k_s", Q4_K(), .small, 14), ("q4_k_m", Q4_K(), .medium, 15), ("q5_k_s", Q5_K(), .output, 16),
        ("q5_k_m", Q5_K(), .medium, 17), ("q6_k", Q6_K(), .none, 18),
    ]

    /// The format of one matrix; nil where it has to stay as it is, since its rows are no whole number of blocks.
    func format(for role: TensorRole, layers: Int, columns: Int, isTied: Bool) -> (any QuantFormat)? {
        var format = base
        let isOutput = role.part == .output || (isTied && role.part == .tokenEmbedding)
        if mixture != .none, isOutput {
            format = columns % base.valuesPerBlock == 0 ? Q6_K() : Q8_0()
        } else if let layer = role.layer {
            switch (mixture, role.part) {
            case (.medium, .value), (.medium, .down): if Self.getsMoreBits(layer, of: layers) { format = Q6_K() }
            case (.small, .value): if layer < 4 { format = Q5_K() }
            case (.small, .down): if layer < layers / 8 { format = Q5_K() }
            default: break
            }
        }
        // Rows that 256 does not divide take the nearest type of 32.
        while columns % format.valuesPerBlock != 0 {
            switch format {
            case is Q4_K: format = Q5_0()
            case is Q5_K: format = Q5_1()
            case is Q6_K: format = Q8_0()
            default: return nil
            }
        }
        return format
    }

    /// The first and last eighth of the layers, and every third between.
    private static func getsMoreBits(_ layer: Int, of layers: Int) -> Bool {
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
    }
}
