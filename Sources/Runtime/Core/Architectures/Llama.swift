internal import Weights

extension Architecture {
    /// Llama 2 and 3, and what has its shape: Mistral (a window on every layer where the file states one), SmolLM2, Yi …
    public static let llama = Architecture(
        name: "llama",
        ggufNames: ["llama"],
        huggingFaceNames: ["llama", "mistral"],
        layout: .decoder(interleavesQueryKeyRows: true))
}
