import Weights

/// What a hub has under one name: its files as one commit of the repository has them.
struct HubRepository: Sendable, Equatable {
    struct File: Sendable, Equatable {
        let name: String  // with folders
        let sizeBytes: Int
        /// What its contents are to come to; nil where the hub does not say.
        let checksum: Checksum?

        /// The last part of the name, which is what the file is called here.
        var lastName: String { String(name[(name.lastIndex(of: "/").map { name.index(after: $0) } ?? name.startIndex)...]) }
    }

    enum Checksum: Sendable, Equatable {
        case sha256(String)
        case gitBlob(String)  // SHA-1 of `blob SIZE`, a zero byte and the contents

        /// Begins the sum over a file of so many bytes.
        func begun(size: Int) -> Digest {
            switch self {
            case .sha256: return Digest(.sha256)
            case .gitBlob:
                var digest = Digest(.sha1)
                digest.update(Array("blob \(size)".utf8) + [0])
                return digest
            }
        }

        var hex: String {
            switch self {
            case .sha256(let hex), .gitBlob(let hex): hex
            }
        }
    }

    let id: String  // "org/name"
    let commit: String
    let files: [File]

    static let mostFiles = 10_000
    static let mostBytes = 1 << 50

    /// Names that may stand in an address and become names of files.
    static func isID(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 && parts.allSatisfy { isPlain($0) } && text.utf8.count <= 200
    }

    static func isRevision(_ text: String) -> Bool {
        text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isPlain($0) } && text.utf8.count <= 200
    }

    /// Letters, digits, `-`, `_` and `.`, not at the beginning: no folder, no hidden file, nothing to encode.
    private static func isPlain(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "+"):
                true
            default: false
            }
        }
    }

    /// Reads what `GET /api/models/{id}/revision/{revision}?blobs=true` answers. Files with names that could lead anywhere
    /// else are left out; numbers that cannot be true are refused.
    init(id: String, _ document: JSONValue) throws(APIError) {
        guard case .object(let object) = document, case .string(let commit)? = object["sha"], Self.isPlain(commit), commit.utf8.count <= 64,
            case .array(let list)? = object["siblings"], list.count <= Self.mostFiles
        else { throw Self.strange }
        var files: [File] = []
        var total = 0
        for case .object(let entry) in list {
            guard case .string(let name)? = entry["rfilename"], Self.isRevision(name) else { continue }
            var size: Int?
            if case .int(let number)? = entry["size"] { size = number }
            var checksum: Checksum?
            if case .string(let hex)? = entry["blobId"], Self.isHex(hex, 40) { checksum = .gitBlob(hex.lowercased()) }
            if case .object(let large)? = entry["lfs"] {
                if case .int(let number)? = large["size"] { size = number }
                checksum = nil
                if case .string(let hex)? = large["sha256"] ?? large["oid"], Self.isHex(hex, 64) { checksum = .sha256(hex.lowercased()) }
            }
            guard let size, size >= 0, size <= Self.mostBytes else { throw Self.strange }
            total += size
            guard total <= Self.mostBytes else { throw Self.strange }
            files.append(File(name: name, sizeBytes: size, checksum: checksum))
        }
        self.init(id: id, commit: commit, files: files)
    }

    init(id: String, commit: String, files: [File]) {
        self.id = id
        self.commit = commit
        self.files = files
    }

    private static let strange = APIError(
        502, "hub_failed", type: "server_error", parameter: "repo_id", "the hub's list of files is not understood")

    private static func isHex(_ text: String, _ count: Int) -> Bool {
        text.utf8.count == count && text.allSatisfy(\.isHexDigit)
    }

    // MARK: What of it is wanted

    /// The files that make up a model here.
    ///
    /// With patterns, the model files among those that match. Without, the safetensors checkpoint at the top, or the one GGUF
    /// file (with all its parts) where there is one only; several are refused with their names.
    func wanted(allow: [String], ignore: [String]) throws(APIError) -> [File] {
        let chosen = files.filter { file in
            (allow.isEmpty || allow.contains { Self.matches(file.name, $0) }) && !ignore.contains { Self.matches(file.name, $0) }
        }
        let checkpoint = chosen.filter { !$0.name.contains("/") && Self.belongsToCheckpoint($0.name) }
        let gguf = chosen.filter { $0.name.lowercased().hasSuffix(".gguf") }
        let wanted: [File]
        if checkpoint.contains(where: { $0.name.hasSuffix(".safetensors") }), allow.isEmpty || gguf.isEmpty {
            wanted = checkpoint
        } else {
            let series = Set(gguf.map { Self.series($0.name) })
            guard series.count <= 1 || !allow.isEmpty else {
                let names = series.sorted().prefix(20).joined(separator: ", ")
                throw .refused("allow_patterns", "the repository has \(series.count) GGUF models; name one of \(names)")
            }
            wanted = gguf
        }
        guard !wanted.isEmpty else {
            throw .refused("repo_id", "nothing in '\(APIError.echo(id))' is a model that runs here (safetensors or GGUF)")
        }
        guard Set(wanted.map(\.lastName)).count == wanted.count else {
            throw .refused("allow_patterns", "several files have the same name in different folders; name one")
        }
        return wanted.sorted { $0.name < $1.name }
    }

    private static func belongsToCheckpoint(_ name: String) -> Bool {
        [".safetensors", ".json", ".jinja", ".model", ".tiktoken"].contains { name.hasSuffix($0) } || ["merges.txt", "vocab.txt"].contains(name)
    }

    /// A split file's name without its number.
    private static func series(_ name: String) -> String {
        let bytes = Array(name.utf8)
        let tail = Array("-00001-of-00001.gguf".utf8)
        guard bytes.count > tail.count else { return name }
        let isSplit = zip(bytes.suffix(tail.count), tail).allSatisfy { byte, shape in
            (0x30...0x39).contains(shape) ? (0x30...0x39).contains(byte) : byte == shape
        }
        return isSplit ? String(decoding: bytes.dropLast(tail.count), as: UTF8.self) : name
    }

    /// `*` stands for anything, `?` for one character, as in a shell, but across folders.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        let (text, wanted) = (Array(name.utf8), Array(pattern.utf8))
        var (at, place) = (0, 0)
        var star: (place: Int, at: Int)?
        while at < text.count {
            if place < wanted.count, wanted[place] == UInt8(ascii: "*") {
                star = (place, at)
                place += 1
            } else if place < wanted.count, wanted[place] == text[at] || wanted[place] == UInt8(ascii: "?") {
                place += 1
                at += 1
            } else if let last = star {
                star = (last.place, last.at + 1)
                place = last.place + 1
                at = last.at + 1
            } else {
                return false
            }
        }
        return wanted[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
