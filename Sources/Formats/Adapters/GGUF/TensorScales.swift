internal import Weights

/// The second level of NVFP4: one f32 per tensor in a tensor of its own, `PATH.scale` or `PATH.weight.scale`.
///
/// It becomes part of its weight's format. `PATH.input_scale` is about activations, which are not quantised that way here.
enum TensorScales {
    static func folded(
        _ records: [TensorName: StoredTensor], _ storages: [Storage], place: String
    ) throws(ModelError) -> [TensorName: StoredTensor] {
        var folded = records
        let suffix = Array(".weight".utf8)
        for record in records.values where record.format is NVFP4 && record.name.bytes.suffix(suffix.count).elementsEqual(suffix) {
            let path = record.name.bytes.dropLast(suffix.count)
            for name in [path + Array(".input_scale".utf8), record.name.bytes + Array(".input_scale".utf8)] {
                folded[TensorName(name)] = nil
            }
            for name in [path + Array(".scale".utf8), record.name.bytes + Array(".scale".utf8)].map({ TensorName($0) }) {
                guard let companion = records[name], let plane = companion.planes.first else { continue }
                let companionPlace = "\(place): \(ModelError.quoted(name.bytes))"
                guard companion.shape == [1], (companion.format as? Dense)?.number == .f32 else {
                    throw ModelError(
                        .unsupported, at: companionPlace, "has shape \(companion.shape) and type \(companion.format.name)",
                        hint: "one F32 that multiplies \(record.name) is read")
                }
                let bits = unsafe storages[plane.file].bytes.loadUnaligned(fromByteOffset: plane.range.lowerBound, as: UInt32.self)
                let scale = Float(bitPattern: UInt32(littleEndian: bits))
                guard scale.isFinite, scale != 0 else {
                    throw ModelError(.outOfRange, at: companionPlace, "is \(scale)", hint: "a scale, finite and not zero")
                }
                folded[name] = nil
                folded[record.name] = StoredTensor(
                    name: record.name, shape: record.shape, format: NVFP4(tensorScale: scale), planes: record.planes)
            }
        }
        return folded
    }
}
