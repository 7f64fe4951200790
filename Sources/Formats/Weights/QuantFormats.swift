/// The registry of stored formats: one line per file of `Quant/`.
public enum QuantFormats {
    /// Every format that LMX reads.
    public static let all: [any QuantFormat] =
        Dense.all + OtherNumbers.all
        + [Q1_0(), Q2_0(), Q4_0(), Q4_1(), Q5_0(), Q5_1(), Q8_0(), Q2_K(), Q3_K(), Q4_K(), Q5_K(), Q6_K()]
        + [IQ1_S(), IQ1_M(), IQ2_XXS(), IQ2_XS(), IQ2_S(), IQ3_XXS(), IQ3_S(), IQ4_NL(), IQ4_XS()]
        + [TQ1_0(), TQ2_0(), MXFP4(), NVFP4()]
        + Affine.all + MLXFloat4.all + MLXFloat8.all + AWQ.all + GPTQ.all + BlockFP8.all

    /// The format of ggml's type number, nil where LMX does not read it.
    public static func gguf(type: UInt32) -> (any QuantFormat)? { byType[type] }

    private static let byType: [UInt32: any QuantFormat] = Dictionary(
        all.compactMap { format in format.ggufType.map { ($0, format) } }, uniquingKeysWith: { first, _ in first })

    /// What is to be said about a type number that ``gguf(type:)`` does not know: its public name, and what became of it.
    public static func refusal(ofGGUFType type: UInt32) -> (problem: String, hint: String?) {
        if let name = removed[type] { return ("has type \(name) (\(type)), which ggml has removed", "convert the model anew") }
        if let name = activationOnly[type] { return ("has type \(name) (\(type)), which is for activations, not for weights", nil) }
        if let name = ofIkLlama[type] {
            return ("has type \(name) (\(type)) of ik_llama.cpp", "a private type of that program; \(readable)")
        }
        if (97...399).contains(type) {
            return ("has type \(type), a private type of ik_llama.cpp", "a private type of that program; \(readable)")
        }
        return ("has the unknown type \(type)", readable)
    }

    private static var readable: String {
        "types that it reads: " + all.filter { $0.ggufType != nil }.map(\.name).joined(separator: ", ")
    }

    private static let removed: [UInt32: String] = [
        4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
    ]
    private static let activationOnly: [UInt32: String] = [9: "Q8_1", 15: "Q8_K"]
    private static let ofIkLlama: [UInt32: String] = [
        97: "Q8_0_X4", 98: "Q8_1_X4", 99: "Q8_2_X4", 133: "Q6_0", 134: "IQ1_BN", 135: "IQ2_BN", 136: "Q8_K64", 137: "IQ2_K",
        138: "IQ3_K", 139: "IQ4_K", 140: "IQ5_K", 141: "IQ6_K", 144: "IQ4_KS", 145: "IQ2_KS", 146: "IQ4_KSS", 147: "Q8_K16",
        148: "Q8_K32", 149: "Q8_KR8", 150: "Q8_K128", 151: "Q8_KV", 152: "IQ5_KS", 153: "IQ2_KT", 154: "IQ3_KT", 155: "IQ4_KT",
        156: "IQ3_KS", 157: "IQ2_KL", 158: "IQ1_KT", 202: "Q4_0_R8", 206: "Q5_0_R4", 208: "Q8_0_R8", 210: "Q2_K_R4",
        211: "Q3_K_R4", 212: "Q4_K_R4", 213: "Q5_K_R4", 214: "Q6_K_R4", 216: "IQ2_XXS_R4", 217: "IQ2_XS_R4", 218: "IQ3_XXS_R4",
        219: "IQ1_S_R4", 220: "IQ4_NL_R4", 221: "IQ3_S_R4", 222: "IQ2_S_R4", 223: "IQ4_XS_R8", 229: "IQ1_M_R4", 230: "BF16_R16",
        233: "Q6_0_R4", 335: "IQ2_BN_R4", 337: "IQ2_K_R4", 338: "IQ3_K_R4", 339: "IQ4_K_R4", 340: "IQ5_K_R4", 344: "IQ4_KS_R4",
        352: "IQ5_KS_R4", 398: "Q8_KV_R8", 399: "Q8_K_R8",
    ]
}
