public import Weights

/// A Hugging Face or MLX model: a folder with `config.json` and `model*.safetensors`.
///
/// It is opened by the folder, by its `config.json` or by one of its weight files. The index of a sharded model is not
/// consulted: it is often stale, and the shards say themselves what they hold.
public struct SafetensorsSource: ModelSource {
    public let path: String
    public let formatName: String
    public let metadata: Metadata
    public let records: [TensorName: StoredTensor]
    public let tokenizer: TokenizerSpec?
    public let storages: [Storage]

    public static func recognises(_ path: String) -> Bool { ModelFolder(path) != nil }

    public init(opening path: String) throws(ModelError) {
        guard let folder = ModelFolder(path) else {
            throw ModelError(.unrecognised, at: path, "is no folder with config.json and *.safetensors")
        }
        self.path = path
        let config = try HuggingFaceConfig(folder.file("config.json"))
        metadata = config.metadata

        var storages: [Storage] = []
        var tensors: [TensorName: (tensor: SafetensorsHeader.Tensor, file: Int)] = [:]
        var order: [TensorName] = []
        var isMLX = config.quantization != nil
        for (file, name) in try folder.weights().enumerated() {
            let place = folder.file(name)
            let storage = try Storage(mapping: place)
            storages.append(storage)
            let header = try SafetensorsHeader(storage, place: place)
            isMLX = isMLX || header.writtenFor == "mlx"
            for tensor in header.tensors where !Self.isLeftOver(tensor.name) {
                let name = TensorName(Self.withoutPrefix(tensor.name.bytes))
                guard tensors.updateValue((tensor, file), forKey: name) == nil else {
                    throw ModelError(.malformed, at: place, "the tensor \(ModelError.quoted(name.bytes)) stands twice in the model")
                }
                order.append(name)
            }
            guard order.count <= Limits.ggufTensors else {
                throw ModelError(.outOfRange, at: place, "has more than \(Limits.ggufTensors) tensors")
            }
        }
        let layers = QuantisedLayers(tensors: tensors, quantization: config.quantization, foreign: config.foreign, folder: folder)
        records = try layers.records(order, storages)
        self.storages = storages
        formatName = isMLX ? "MLX safetensors" : "Hugging Face safetensors"
        tokenizer = try HuggingFaceTokenizer(folder, config: metadata).spec(rows: records["model.embed_tokens.weight"]?.rows)
    }

    /// Recomputed from the configuration, whatever old files store.
    private static func isLeftOver(_ name: TensorName) -> Bool {
        name.bytes.count >= 19 && name.bytes.suffix(19).elementsEqual("rotary_emb.inv_freq".utf8)
    }

    /// A name without the part that models with other senses put before their language model's names.
    static func withoutPrefix(_ name: [UInt8]) -> [UInt8] {
        let outer = Array("language_model.".utf8), inner = Array("model.language_model.".utf8)
        if name.starts(with: outer) { return Array(name.dropFirst(outer.count)) }
        if name.starts(with: inner) { return Array("model.".utf8) + name.dropFirst(inner.count) }
        return name
    }
}

/// Raw tensors as records: weights whose scales lie beside them become one record of three planes.
struct QuantisedLayers {
    let tensors: [TensorName: (tensor: SafetensorsHeader.Tensor, file: Int)]
    let quantization: MLXQuantization?
    let foreign: ForeignQuantization?
    let folder: ModelFolder

    func records(_ order: [TensorName], _ storages: [Storage]) throws(ModelError) -> [TensorName: StoredTensor] {
        var records: [TensorName: StoredTensor] = [:]
        var used: Set<TensorName> = []  // scales and biases of quantised layers
        if let foreign {
            let layers = try foreignRecords(order, foreign, storages)
            used = layers.used
            for record in layers.records where records.updateValue(record, forKey: record.name) != nil {
                throw ModelError(.malformed, at: place(record.name), "stands twice in the model")
            }
        }
        for name in order where name.bytes.suffix(7).elementsEqual(".scales".utf8) {
            let path = TensorName(name.bytes.dropLast(7))
            let weight = TensorName(path.bytes + Array(".weight".utf8)), biases = TensorName(path.bytes + Array(".biases".utf8))
            guard let codes = tensors[weight], codes.tensor.type == "U32", let scales = tensors[name] else { continue }
            records[weight] = try record(path, weight, codes, scales, tensors[biases])
            used.formUnion([weight, name, biases])
        }
        for name in order where !used.contains(name) {
            guard let (tensor, file) = tensors[name] else { continue }
            guard let format = Self.dense[tensor.type] else {
                let hint = tensor.type == "U32" ? "it has no .scales beside it" : "plain numbers and MLX's quantisations are read"
                throw ModelError(.unsupported, at: place(name), "has dtype \(tensor.type)", hint: hint)
            }
            records[name] = StoredTensor(name: name, shape: tensor.shape, format: format, planes: [.init(file: file, range: tensor.range)])
        }
        return records
    }

    typealias Part = (tensor: SafetensorsHeader.Tensor, file: Int)

    private func record(
        _ path: TensorName, _ name: TensorName, _ codes: Part, _ scales: Part, _ biases: Part?
    ) throws(ModelError) -> StoredTensor {
        let place = place(name)
        guard let quantization else {
            throw ModelError(.missing, at: place, "has scales, but config.json states no quantization")
        }
        let layer = try quantization.layer(at: path, place: place)
        let words = codes.tensor.shape.last ?? 0, groups = scales.tensor.shape.last ?? 0
        guard codes.tensor.shape.count >= 2, codes.tensor.shape.dropLast() == scales.tensor.shape.dropLast(), words > 0, groups > 0 else {
            throw ModelError(.mismatched, at: place, "has codes of shape \(codes.tensor.shape) and scales of shape \(scales.tensor.shape)")
        }
        // words ≤ 2^40 and groups · group ≤ 2^56: nothing here can overflow.
        let columns = groups * layer.group
        guard 32 * words == layer.bits * columns else {
            throw ModelError(
                .mismatched, at: place,
                "has \(words) words and \(groups) scales per row, which is not \(layer.bits) bits in groups of \(layer.group)",
                hint: "\(quantization.place) states a quantization that the tensors contradict")
        }
        let format = try layer.mode == "affine" ? affine(layer, scales, biases, place) : floats(layer, scales, biases, place)
        let shape = Array(codes.tensor.shape.dropLast()) + [columns]
        guard let count = CheckedSize.product(shape), count <= Limits.tensorValues else {
            throw ModelError(.outOfRange, at: place, "has more than \(Limits.tensorValues) values")
        }
        return StoredTensor(
            name: name, shape: shape, format: format,
            planes: [codes, scales, biases].compactMap { $0 }.map { .init(file: $0.file, range: $0.tensor.range) })
    }

    private func affine(
        _ layer: MLXQuantization.Layer, _ scales: Part, _ biases: Part?, _ place: String
    ) throws(ModelError) -> any QuantFormat {
        guard let number = (Self.dense[scales.tensor.type] as? Dense)?.number else {
            throw ModelError(.unsupported, at: place, "has scales of dtype \(scales.tensor.type)", hint: "f16, bf16 and f32 are read")
        }
        guard let biases else { throw ModelError(.missing, at: place, "has scales but no biases beside it") }
        guard biases.tensor.type == scales.tensor.type, biases.tensor.shape == scales.tensor.shape else {
            throw ModelError(.mismatched, at: place, "has scales and biases of different dtype or shape")
        }
        guard let format = Affine.make(bits: layer.bits, group: layer.group, scale: number) else {
            throw ModelError(
                .unsupported, at: place, "is quantised to \(layer.bits) bits in groups of \(layer.group)",
                hint: "2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 and 128 are read")
        }
        return format
    }

    /// The modes of floats have bytes for scales and no biases.
    private func floats(
        _ layer: MLXQuantization.Layer, _ scales: Part, _ biases: Part?, _ place: String
    ) throws(ModelError) -> any QuantFormat {
        let format: any QuantFormat
        switch layer.mode {
        case "mxfp4": format = MLXFloat4(.mxfp4)
        case "nvfp4": format = MLXFloat4(.nvfp4)
        case "mxfp8": format = MLXFloat8()
        default:
            throw ModelError(
                .unsupported, at: place, "is quantised in the mode \(ModelError.quoted(layer.mode))",
                hint: "affine, mxfp4, mxfp8 and nvfp4 are read")
        }
        guard layer.group == format.valuesPerBlock, layer.bits * layer.group == 8 * format.bytesPerBlock[0] else {
            throw ModelError(
                .unsupported, at: place, "is \(layer.mode) of \(layer.bits) bits in groups of \(layer.group)",
                hint: "that mode has groups of \(format.valuesPerBlock)")
        }
        guard ["U8", "F8_E8M0", "F8_E4M3"].contains(scales.tensor.type), biases == nil else {
            throw ModelError(
                .mismatched, at: place, "has scales of dtype \(scales.tensor.type)\(biases == nil ? "" : " and biases")",
                hint: "the mode \(layer.mode) has bytes for scales and no biases")
        }
        return format
    }

    func place(_ name: TensorName) -> String { "\(folder.path): \(ModelError.quoted(name.bytes))" }

    static let dense: [String: any QuantFormat] = [
        "F32": Dense(.f32), "F16": Dense(.f16), "BF16": Dense(.bf16), "F64": OtherNumbers(.f64), "I8": OtherNumbers(.i8),
        "I16": OtherNumbers(.i16), "I32": OtherNumbers(.i32), "I64": OtherNumbers(.i64),
    ]
}
