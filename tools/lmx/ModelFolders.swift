internal import ArgumentParser
internal import Formats
internal import Foundation
internal import Weights

/// Where models lie, and which id means which file.
///
/// An id is a file's name without `.gguf` (a split file's without its number), or a directory's name.
struct ModelFolders: Sendable {
    let folders: [String]

    /// The folders asked for, else `models` here and `lmx/models` in the user's data folder.
    init(_ folders: [String] = []) {
        if folders.isEmpty {
            let environment = ProcessInfo.processInfo.environment
            let data = environment["XDG_DATA_HOME"] ?? (environment["HOME"] ?? "") + "/.local/share"
            self.folders = ["models", data + "/lmx/models"]
        } else {
            self.folders = folders
        }
    }

    struct Entry: Sendable {
        let id: String
        let path: String
        let sizeBytes: Int
    }

    /// Every file and directory that could be a model, by id; the first folder wins where two hold the same id.
    func entries() -> [Entry] {
        var seen: Set<String> = []
        var found: [Entry] = []
        for folder in folders {
            for name in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() where !name.hasPrefix(".") {
                let path = folder + "/" + name
                guard let id = Self.id(of: path), seen.insert(id).inserted else { continue }
                found.append(Entry(id: id, path: path, sizeBytes: Self.size(of: path)))
            }
        }
        return found
    }

    /// A path as it stands, else the model with that id.
    func path(of reference: String) throws(ModelError) -> String {
        if FileManager.default.fileExists(atPath: reference) { return reference }
        if let entry = entries().first(where: { $0.id == reference })
            ?? entries().first(where: { $0.id.lowercased() == reference.lowercased() })
        {
            return entry.path
        }
        throw ModelError(
            .unreadable, at: reference, "no such file, and no model of that id in \(folders.joined(separator: ", "))",
            hint: "lmx list shows the ids")
    }

    /// Nil where a path can't be a model: another extension, a later part of a split file, a directory without weights.
    static func id(of path: String) -> String? {
        let name = (path as NSString).lastPathComponent
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else { return nil }
        if isDirectory.boolValue {
            let files = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            let holdsWeights = files.contains("config.json") && files.contains { $0.hasPrefix("model") && $0.hasSuffix(".safetensors") }
            return holdsWeights ? name : nil
        }
        guard name.lowercased().hasSuffix(".gguf") else { return nil }
        let stem = String(name.dropLast(5))
        guard let split = stem.range(of: #"-\d{5}-of-\d{5}$"#, options: .regularExpression) else { return stem }
        return stem[split].hasPrefix("-00001-") ? String(stem[..<split.lowerBound]) : nil
    }

    /// Bytes of a file with its further parts, or of a directory's weights.
    static func size(of path: String) -> Int {
        func bytes(_ path: String) -> Int {
            ((try? FileManager.default.attributesOfItem(atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path))?[.size] as? Int) ?? 0
        }
        if let files = try? FileManager.default.contentsOfDirectory(atPath: path) {
            return files.filter { $0.hasSuffix(".safetensors") }.reduce(0) { $0 + bytes(path + "/" + $1) }
        }
        guard let split = path.range(of: #"-00001-of-\d{5}\.gguf$"#, options: .regularExpression) else { return bytes(path) }
        let folder = (path as NSString).deletingLastPathComponent
        let prefix = (String(path[..<split.lowerBound]) as NSString).lastPathComponent
        let suffix = path[split].dropFirst(6)
        let parts = ((try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? [])
            .filter { $0.hasPrefix(prefix + "-") && $0.hasSuffix(suffix) }
        return parts.reduce(0) { $0 + bytes((folder.isEmpty ? "." : folder) + "/" + $1) }
    }
}

struct FolderOptions: ParsableArguments {
    @Option(
        name: .customLong("models-dir"), help: "A folder to look for models in (repeatable; default: ./models and the user's data folder).")
    var folders: [String] = []

    var models: ModelFolders { ModelFolders(folders) }
}
