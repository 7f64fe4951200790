internal import Weights

/// Another program's quantisation, as `quantization_config` in `config.json` states it: AWQ, GPTQ, or eight-bit floats with a
/// scale per block.
///
/// Which layers are quantised their tensors say: `PATH.qweight`, or `PATH.weight_scale_inv` beside `PATH.weight`.
struct ForeignQuantization {
    enum Method: String { case awq, gptq, fp8 }
    let method: Method
    let bits: Int
    let group: Int
    /// GPTQ's first version stores zeros less one.
    let zerosAreLessOne: Bool
    let block: (rows: Int, columns: Int)

    /// Nil where the configuration speaks of no such quantisation.
    /// - Throws: what it asks for beyond what is read.
    init?(_ config: JSONObject, _ place: String) throws(ModelError) {
        guard config["quantization"] == nil, case .object(let stated)? = config["quantization_config"],
            case .string(let name)? = stated["quant_method"], let method = Method(rawValue: name)
        else { return nil }
        func number(_ key: String, _ standard: Int) throws(ModelError) -> Int {
            switch stated[key] {
            case nil, .null?: return standard
            case .int(let value)?: return value
            default: throw ModelError(.malformed, at: place, "\(key) of the quantization_config is not a whole number")
            }
        }
        self.method = method
        bits = try number("bits", method == .fp8 ? 8 : 4)
        group = try number("group_size", 128)
        var version = "gptq"
        if case .string(let text)? = stated["checkpoint_format"] { version = text }
        zerosAreLessOne = version != "gptq_v2"
        block = try Self.block(stated, place)
        switch method {
        case .awq:
            var packing = "gemm"
            if case .string(let text)? = stated["version"] { packing = text.lowercased() }
            guard bits == 4, packing == "gemm" else {
                throw ModelError(
                    .unsupported, at: place, "is AWQ of \(bits) bits in the version \(ModelError.quoted(packing))",
                    hint: "4 bits in the version gemm are read")
            }
        case .gptq:
            guard ["gptq", "gptq_v2"].contains(version) else {
                throw ModelError(
                    .unsupported, at: place, "is GPTQ in the checkpoint_format \(ModelError.quoted(version))",
                    hint: "gptq and gptq_v2 are read")
            }
        case .fp8: break
        }
    }

    private static func block(_ stated: JSONObject, _ place: String) throws(ModelError) -> (rows: Int, columns: Int) {
        guard case .array(let sizes)? = stated["weight_block_size"] else { return (128, 128) }
        guard sizes.count == 2, case .int(let rows) = sizes[0], case .int(let columns) = sizes[1],
            (1...65_536).contains(rows), (1...65_536).contains(columns)
        else { throw ModelError(.malformed, at: place, "weight_block_size is no pair of sizes") }
        return (rows, columns)
    }
}

extension QuantisedLayers {
    /// The layers that `foreign` quantises, each as one record named `PATH.weight`, and the tensors that they consist of.
    func foreignRecords(
        _ order: [TensorName], _ foreign: ForeignQuantization, _ storages: [Storage]
    ) throws(ModelError) -> (records: [StoredTensor], used: Set<TensorName>) {
        var records: [StoredTensor] = []
        var used: Set<TensorName> = []
        let marker = Array((foreign.method == .fp8 ? ".weight_scale_inv" : ".qweight").utf8)
        for name in order where name.bytes.suffix(marker.count).elementsEqual(marker) {
            let layer = Layer(path: name.bytes.dropLast(marker.count))
            records.append(
                try foreign.method == .fp8 ? floats(layer, foreign) : codes(layer, foreign, storages))
            for leaf in ["weight", "weight_scale_inv", "input_scale", "qweight", "qzeros", "scales", "g_idx"] {
                used.insert(layer.name(leaf))
            }
        }
        return (records, used)
    }

    /// A quantised layer's tensors by their last names.
    private struct Layer {
        let path: ArraySlice<UInt8>
        func name(_ leaf: String) -> TensorName { TensorName(path + Array(".\(leaf)".utf8)) }
    }

    private func floats(_ layer: Layer, _ foreign: ForeignQuantization) throws(ModelError) -> StoredTensor {
        let name = layer.name("weight"), place = place(name)
        guard let codes = tensors[name], let scales = tensors[layer.name("weight_scale_inv")], codes.tensor.type == "F8_E4M3" else {
            throw ModelError(.mismatched, at: place, "has weight_scale_inv beside it, but is not of dtype F8_E4M3")
        }
        let number = try number(of: scales, place)
        let shape = codes.tensor.shape
        guard shape.count == 2,
            scales.tensor.shape == [
                BlockFP8.blocks(shape[0], foreign.block.rows), BlockFP8.blocks(shape[1], foreign.block.columns),
            ]
        else {
            throw ModelError(
                .mismatched, at: place,
                "has shape \(shape) and scales of shape \(scales.tensor.shape), in blocks of \(foreign.block.rows) × \(foreign.block.columns)")
        }
        let format = BlockFP8(blockRows: foreign.block.rows, blockColumns: foreign.block.columns, scale: number)
        return StoredTensor(name: name, shape: shape, format: format, planes: planes([codes, scales]))
    }

    private func codes(
        _ layer: Layer, _ foreign: ForeignQuantization, _ storages: [Storage]
    ) throws(ModelError) -> StoredTensor {
        let place = place(layer.name("qweight"))
        guard let codes = tensors[layer.name("qweight")], let scales = tensors[layer.name("scales")],
            let zeros = tensors[layer.name("qzeros")]
        else { throw ModelError(.missing, at: place, "has no scales or no qzeros beside it") }
        let number = try number(of: scales, place)
        let (bits, group) = (foreign.bits, foreign.group)
        guard Affine.groups.contains(group), [2, 4, 8].contains(bits) else { throw Self.unread(foreign, place) }
        let sizes = codes.tensor.shape
        guard ["I32", "U32"].contains(codes.tensor.type), ["I32", "U32"].contains(zeros.tensor.type), sizes.count == 2,
            let values = CheckedSize.product(sizes + [32]), values <= Limits.tensorValues
        else { throw ModelError(.malformed, at: place, "codes and zeros are no matrices of 32-bit words") }

        let format: (any QuantFormat)?
        let shape: [Int]
        if foreign.method == .awq {
            shape = [sizes[1] * 8, sizes[0]]
            format = AWQ(group: group, scale: number)
        } else {
            shape = [sizes[1], sizes[0] * (32 / bits)]
            try checkOrder(layer, columns: shape[1], group: group, storages)
            let isConstant = isConstant(zeros, storages, bits: bits, less: foreign.zerosAreLessOne ? 1 : 0)
            format = GPTQ(
                bits: bits, group: group, zeros: isConstant ? .constant : foreign.zerosAreLessOne ? .storedLessOne : .stored,
                scale: number)
        }
        guard let format else { throw Self.unread(foreign, place) }
        let parts = [codes, scales, zeros]
        guard let bytes = format.planeBytes(rows: shape[0], columns: shape[1]), bytes == parts.map(\.tensor.range.count),
            scales.tensor.shape == [shape[1] / group, shape[0]]
        else {
            throw ModelError(
                .mismatched, at: place,
                "has codes of shape \(sizes), scales of \(scales.tensor.shape) and zeros of \(zeros.tensor.shape), "
                    + "which is not \(bits) bits in groups of \(group)")
        }
        return StoredTensor(name: layer.name("weight"), shape: shape, format: format, planes: planes(parts))
    }

    private static func unread(_ foreign: ForeignQuantization, _ place: String) -> ModelError {
        ModelError(
            .unsupported, at: place, "is quantised by \(foreign.method.rawValue) to \(foreign.bits) bits in groups of \(foreign.group)",
            hint: "AWQ of 4 bits and GPTQ of 2, 4 and 8, in groups of 32, 64 and 128, are read")
    }

    private func number(of scales: Part, _ place: String) throws(ModelError) -> Packing.Number {
        if let dense = Self.dense[scales.tensor.type] as? Dense { return dense.number }
        throw ModelError(.unsupported, at: place, "has scales of dtype \(scales.tensor.type)", hint: "f16, bf16 and f32 are read")
    }

    private func planes(_ parts: [Part]) -> [StoredTensor.Plane] { parts.map { .init(file: $0.file, range: $0.tensor.range) } }

    /// Columns in another order than the file's (GPTQ's `desc_act`) would need their inputs in that order too.
    private func checkOrder(_ layer: Layer, columns: Int, group: Int, _ storages: [Storage]) throws(ModelError) {
        guard let (tensor, file) = tensors[layer.name("g_idx")] else { return }
        let place = place(layer.name("g_idx"))
        guard ["I32", "U32"].contains(tensor.type), tensor.shape == [columns] else {
            throw ModelError(.mismatched, at: place, "has shape \(tensor.shape), the layer has \(columns) columns")
        }
        let isInOrder = (0..<columns).allSatisfy { column in
            let at = tensor.range.lowerBound + 4 * column
            return unsafe UInt32(littleEndian: storages[file].bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
                == UInt32(column / group)
        }
        guard isInOrder else {
            throw ModelError(.unsupported, at: place, "quantises columns in another order", hint: "use a model without desc_act")
        }
    }

    /// Whether all zeros are in the middle of the codes.
    private func isConstant(_ zeros: Part, _ storages: [Storage], bits: Int, less: UInt32) -> Bool {
        let one = (UInt32(1) << UInt32(bits - 1)) - less
        let word = (0..<32 / bits).reduce(UInt32(0)) { $0 | one << UInt32($1 * bits) }
        return stride(from: zeros.tensor.range.lowerBound, to: zeros.tensor.range.upperBound - 3, by: 4).allSatisfy { at in
            unsafe UInt32(littleEndian: storages[zeros.file].bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) == word
        }
    }
}
