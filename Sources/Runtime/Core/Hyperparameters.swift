internal import CKernels
internal import Weights

/// The numbers of one model: sizes, rotation, windows, scales. Every one is checked here before anything is computed with it.
public struct Hyperparameters: Sendable, Equatable {
    /// How fast the pairs of a head turn.
    public struct Rotation: Sendable, Equatable {
        public enum Scaling: Sendable, Equatable {
            case none
            /// Positions are divided by a factor.
            case linear(Double)
            /// Slow waves are divided by the factor, fast ones stay.
            case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalContext: Double)
        }

        public var base: Double
        public var scaling: Scaling

        public init(base: Double, scaling: Scaling) {
            self.base = base
            self.scaling = scaling
        }
    }

    /// Rows of the embedding. May exceed the tokenizer's pieces: the rest is padding.
    public var vocabularySize: Int
    public var contextLength: Int
    public var layers: Int
    public var hidden: Int
    public var heads: Int
    public var keyValueHeads: Int
    public var keySize: Int  // of one head; queries have the same
    public var valueSize: Int
    public var feedForward: Int
    public var normEpsilon: Float
    public var rotated: Int  // leading values of a head that rotation touches
    public var rotation: Rotation
    /// Of layers with a window, where they differ.
    public var windowRotation: Rotation?
    /// Positions that a layer with a window sees, its own included; 0 without windows.
    public var window: Int
    public var hasWindow: [Bool]  // by layer
    public var attentionScale: Float
    public var embeddingScale: Float  // 1: none
    public var attentionSoftcap: Float  // 0: none
    public var finalSoftcap: Float  // 0: none

    func attentionShape(layer: Int) -> ck_attention_shape {
        ck_attention_shape(
            heads: Int32(heads), scale: attentionScale, softcap: attentionSoftcap, window: hasWindow[layer] ? Int32(window) : 0)
    }
}
