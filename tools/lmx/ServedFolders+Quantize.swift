internal import API
internal import Compute
internal import Formats
internal import Foundation
internal import Weights

extension ServedFolders {
    /// Writes MLX checkpoints into the model folders, and nowhere else.
    static func quantizer(_ folders: [String], threads: Int) -> Quantizer {
        Quantizer(
            place: { try place($0, folders) },
            run: { request, path, progress, isStopped in
                let source = try ModelSources.open(request.source.path)
                let conversion = try Conversion(source, try architecture(of: source), try options(request, source))
                let total = max(1, conversion.report.targetBytes)
                let report = try conversion.run(
                    to: path, threads: threads, stopped: isStopped, progress: { progress(Double($0) / Double(total)) })
                return report.targetBytes
            })
    }

    private static func place(_ request: QuantizeRequest, _ folders: [String]) throws -> String {
        let name = request.output ?? "\(request.source.id)-\(request.bits)bit"
        guard let first = folders.first else { throw ModelError(.missing, at: name, "there is no model folder to write to") }
        let path = name.contains("/") ? name : first + "/" + name
        let place = URL(fileURLWithPath: path).standardizedFileURL
        let known = folders.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
        guard known.contains(place.deletingLastPathComponent().path), !place.lastPathComponent.hasPrefix(".") else {
            throw ModelError(.outOfRange, at: path, "is not directly in a model folder", hint: known.joined(separator: ", "))
        }
        guard !FileManager.default.fileExists(atPath: place.path) else { throw ModelError(.mismatched, at: path, "is there already") }
        return place.path
    }

    private static func architecture(of source: any ModelSource) throws(ModelError) -> ConversionArchitecture {
        let architecture = try Architecture.named(in: source.metadata)
        return ConversionArchitecture(
            layout: architecture.layout, ggufName: architecture.ggufNames[0],
            modelType: source.metadata.dialect == .huggingFace ? source.metadata.architecture : architecture.huggingFaceNames[0],
            standard: architecture.standard)
    }

    private static func options(_ request: QuantizeRequest, _ source: any ModelSource) throws(ModelError) -> ConversionOptions {
        let dense = source.records.values.filter { $0.shape.count > 1 }.compactMap { ($0.format as? Dense)?.number }
        guard let quantization = Quantization.affine(bits: request.bits, group: request.groupSize, scale: dense.first ?? .f16) else {
            throw ModelError(.unsupported, at: source.path, "\(request.bits) bits in groups of \(request.groupSize) are not written")
        }
        var options = ConversionOptions(target: .mlx)
        options.quantization = quantization
        return options
    }
}
