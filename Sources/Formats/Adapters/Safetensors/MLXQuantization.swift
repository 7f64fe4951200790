internal import Weights

/// What `config.json` says about quantised layers: a default and exceptions by module path.
///
/// Whether a layer *is* quantised its tensors say (`PATH.scales` is there or not); this says how.
struct MLXQuantization {
    struct Layer: Equatable {
        var bits: Int
        var group: Int
        var mode: String
    }

    private enum Exception {
        case no  // kept as numbers
        case asDefault
        case layer(Layer)
    }

    let place: String
    let standard: Layer?
    private var exceptions: [TensorName: Exception] = [:]

    /// Nil where the configuration speaks of no quantisation.
    /// - Throws: `unsupported` for another program's quantisation.
    init?(_ config: JSONObject, _ place: String) throws(ModelError) {
        self.place = place
        let stated: JSONObject
        if case .object(let object)? = config["quantization"] {
            stated = object
        } else if case .object(let object)? = config["quantization_config"] {
            if case .string(let method)? = object["quant_method"] {
                throw ModelError(
                    .unsupported, at: place, "is quantised by \(ModelError.quoted(method))",
                    hint: "of quantised safetensors LMX reads MLX's, AWQ, GPTQ and fp8 in blocks; use such a version or a GGUF")
            }
            stated = object
        } else if config["compression_config"] != nil {
            throw ModelError(.unsupported, at: place, "is quantised by compressed-tensors")
        } else {
            return nil
        }
        standard = try Self.layer(stated, default: nil, place, "quantization")
        for member in stated where !Self.settings.contains(member.key) {
            let path = TensorName(SafetensorsSource.withoutPrefix(Array(member.key.utf8)))
            switch member.value {
            case .bool(let isQuantised): exceptions[path] = isQuantised ? .asDefault : .no
            case .object(let object):
                if let layer = try Self.layer(object, default: standard, place, member.key) { exceptions[path] = .layer(layer) }
            default: continue
            }
        }
    }

    private static let settings: Set<String> = ["group_size", "bits", "mode", "quant_method", "linear_class", "quantization_mode"]

    /// What the modes of floats have where nothing else is said.
    private static let modes: [String: Layer] = [
        "mxfp4": Layer(bits: 4, group: 32, mode: "mxfp4"), "mxfp8": Layer(bits: 8, group: 32, mode: "mxfp8"),
        "nvfp4": Layer(bits: 4, group: 16, mode: "nvfp4"),
    ]

    /// An override without `mode` is affine, whatever the default's mode.
    private static func layer(
        _ object: JSONObject, default standard: Layer?, _ place: String, _ key: String
    ) throws(ModelError) -> Layer? {
        func number(_ name: String) throws(ModelError) -> Int? {
            switch object[name] {
            case nil, .null?: return nil
            case .int(let value)?: return value
            default: throw ModelError(.malformed, at: place, "\(name) of \(ModelError.quoted(key)) is not a whole number")
            }
        }
        var mode = "affine"
        if case .string(let text)? = object["mode"] ?? object["quantization_mode"] { mode = text }
        let usual = modes[mode] ?? standard
        guard let bits = try number("bits") ?? usual?.bits, let group = try number("group_size") ?? usual?.group else { return nil }
        guard (1...16).contains(bits), (1...65_536).contains(group) else {
            throw ModelError(.outOfRange, at: place, "\(ModelError.quoted(key)) has \(bits) bits and groups of \(group)")
        }
        return Layer(bits: bits, group: group, mode: mode)
    }

    /// How the layer at a path is quantised, given that it has scales.
    func layer(at path: TensorName, place: String) throws(ModelError) -> Layer {
        switch exceptions[path] {
        case .layer(let layer)?: return layer
        case .no?:
            throw ModelError(.mismatched, at: place, "has scales, but config.json says that it is not quantised")
        case .asDefault?, nil:
            guard let standard else {
                throw ModelError(.missing, at: place, "has scales, but config.json states neither bits nor group_size for it")
            }
            return standard
        }
    }
}
