internal import API
internal import Compute
internal import Formats
internal import Foundation
internal import Synchronization
internal import Weights

/// The model folders as the server sees them: each file is opened once and again only after it has changed.
final class ServedFolders: Sendable {
    private struct Stamp: Sendable, Equatable {
        let bytes: Int
        let changed: Date?
    }

    private let folders: ModelFolders
    private let options: ModelOptions
    private let seen = Mutex<[String: (stamp: Stamp, entry: CatalogueEntry)]>([:])

    init(_ folders: ModelFolders, _ compute: ComputeOptions) {
        self.folders = folders
        options = ModelOptions(precise: compute.precise, threads: compute.threads, cache: compute.kvCache.format)
    }

    func entries() -> [CatalogueEntry] {
        let found = folders.entries().map { ($0, Self.stamp(of: $0)) }
        let before = seen.withLock { $0 }
        var now: [String: (stamp: Stamp, entry: CatalogueEntry)] = [:]
        for (place, stamp) in found {
            if let known = before[place.path], known.stamp == stamp {
                now[place.path] = known
            } else {
                now[place.path] = (stamp, Self.listing(place))
            }
        }
        seen.withLock { $0 = now }
        return found.compactMap { now[$0.0.path]?.entry }
    }

    private static func stamp(of place: ModelFolders.Entry) -> Stamp {
        Stamp(bytes: place.sizeBytes, changed: (try? FileManager.default.attributesOfItem(atPath: place.path))?[.modificationDate] as? Date)
    }

    /// What cannot be opened is listed too, so that loading it says why.
    private static func listing(_ found: ModelFolders.Entry) -> CatalogueEntry {
        if let entry = try? entry(at: found.path) { return entry }
        let format = found.path.hasSuffix(".gguf") ? "gguf" : "safetensors"
        return CatalogueEntry(id: found.id, path: found.path, format: format, quantization: nil, sizeBytes: found.sizeBytes)
    }

    /// A model that opens, as the catalogue lists it.
    static func entry(at path: String) throws -> CatalogueEntry {
        let id = ModelFolders.id(of: path) ?? (path as NSString).lastPathComponent
        let source = try ModelSources.open(path)
        return CatalogueEntry(
            id: id, path: path, format: formatWord(of: source), quantization: quantizationLabel(of: source),
            sizeBytes: ModelFolders.size(of: path))
    }

    /// What may be done with the models of the folders.
    var closures: Closures {
        var closures = Closures()
        let options = options
        closures.remove = { try Self.remove($0) }
        closures.probe = { entry in
            let source = try ModelSources.open(entry.path)
            _ = try Composition.tokenizer(of: source)
            _ = try Composition.template(of: source)
            _ = try ModelSummary(source, options: options)
        }
        closures.forecast = { try MemoryForecast.needs(of: $0.path, options) }
        closures.downloadFolder = folders.folders.first
        closures.quantizer = Self.quantizer(folders.folders, threads: options.threads)
        return closures
    }

    /// Removes a file with its further parts, or a directory; of a link the link alone.
    private static func remove(_ entry: CatalogueEntry) throws -> Int {
        let bytes = ModelFolders.size(of: entry.path)
        for path in parts(of: entry.path) { try FileManager.default.removeItem(atPath: path) }
        return bytes
    }

    /// A split file with all its parts, anything else alone.
    private static func parts(of path: String) -> [String] {
        guard let split = path.range(of: #"-00001-of-\d{5}\.gguf$"#, options: [.regularExpression, .caseInsensitive]) else { return [path] }
        let count = Int(path[split].dropFirst(10).prefix(5)) ?? 1
        let number = { (part: Int) in String(repeating: "0", count: max(0, 5 - String(part).count)) + String(part) }
        return (1...max(1, count)).map { path[..<split.lowerBound] + "-" + number($0) + path[split].dropFirst(6) }
            .filter { FileManager.default.fileExists(atPath: $0) }
    }
}
