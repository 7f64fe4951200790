internal import ArgumentParser
internal import Formats
internal import Weights

struct List: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "The models in the model folders.", discussion: "Example:\n  lmx list --models-dir ~/models")

    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var rows: [[String]] = []
        var documents: [JSONValue] = []
        for entry in folders.models.entries() {
            do {
                let source = try ModelSources.open(entry.path)
                let quantization = quantizationLabel(of: source)
                rows.append([entry.id, source.formatName, source.metadata.architecture, quantization, humanBytes(entry.sizeBytes)])
                documents.append(
                    .object([
                        "id": .string(entry.id), "path": .string(entry.path), "format": .string(source.formatName),
                        "architecture": .string(source.metadata.architecture), "quantization": .string(quantization),
                        "size_bytes": .int(entry.sizeBytes),
                    ]))
            } catch {
                rows.append([entry.id, "refused: \(error.problem)", "", "", humanBytes(entry.sizeBytes)])
                documents.append(
                    .object([
                        "id": .string(entry.id), "path": .string(entry.path), "size_bytes": .int(entry.sizeBytes),
                        "error": .object(["code": .string(error.code), "message": .string(error.description)]),
                    ]))
            }
        }
        if output.json {
            print(JSONValue.object(["models": .array(documents)]).serialized())
        } else if rows.isEmpty {
            print("no models in \(folders.models.folders.joined(separator: ", ")) (make model fetches the default one)")
        } else {
            print(table(["id", "format", "architecture", "quantization", "size"], rows))
        }
    }
}
