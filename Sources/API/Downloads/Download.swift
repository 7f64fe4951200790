import Engine
import Weights

/// One model on its way from a hub into a model folder.
///
/// Files grow in a hidden folder beside the models, which is named for the commit, so that a later try goes on where this one
/// ended. They take their place when all of them have the right size and checksum: what the model folders list is whole.
struct Download: Sendable {
    let repository: HubRepository
    let files: [HubRepository.File]
    let folder: String
    let hub: String
    let token: Secret?
    let client: HubClient

    /// Tries of one file without a byte gained before it is given up.
    static let tries = 5
    /// Left free on the disk.
    static let spareBytes = 128 << 20

    var totalBytes: Int { files.reduce(0) { $0 + $1.sizeBytes } }

    private var name: String { String(repository.id.drop { $0 != "/" }.dropFirst()) }
    private var isCheckpoint: Bool { files.contains { $0.name.hasSuffix(".safetensors") } }
    private var staging: String {
        folder + "/.download-" + repository.id.split(separator: "/").joined(separator: "--") + "-" + repository.commit.prefix(12)
    }

    /// What the model will be called.
    var modelID: String {
        guard !isCheckpoint, let first = files.first?.lastName else { return name }
        let stem = first.dropLast(5)
        guard let mark = stem.firstRange(of: "-00001-of-") else { return String(stem) }
        return String(stem[..<mark.lowerBound])
    }

    var modelPath: String { folder + "/" + (isCheckpoint ? name : files.first?.lastName ?? name) }

    private var targets: [String] { isCheckpoint ? [folder + "/" + name] : files.map { folder + "/" + $0.lastName } }

    // MARK: Before

    /// What the hub has under a name.
    static func look(
        _ id: String, revision: String, hub: String, token: Secret?, client: HubClient
    ) async throws -> HubRepository {
        let (head, bytes) = try await client.whole("\(hub)/api/models/\(id)/revision/\(revision)?blobs=true", token: token, atMost: 16 << 20)
        switch head.status {
        case 200: break
        case 401, 404:
            throw APIError(
                404, "model-not-found", type: "invalid_request_error", parameter: "repo_id", alternativeCode: "model_not_found",
                "the hub has no '\(APIError.echo(id))' at '\(APIError.echo(revision))', or shows it only with a token (models.hub_token)")
        case 403:
            throw APIError(
                403, "hub_forbidden", type: "permission_error", parameter: "repo_id",
                "the hub does not give '\(APIError.echo(id))' to this server's token (models.hub_token)")
        default: throw HubFailure(isFinal: true, "the hub answers with status \(head.status)")
        }
        guard let document = try? JSONValue.parse(bytes, maximumDepth: 32) else {
            throw HubFailure(isFinal: true, "the hub's answer is not JSON")
        }
        return try HubRepository(id: id, document)
    }

    /// Refuses what is there already and what does not fit, before a byte is fetched. Blocks.
    /// - Parameter promised: bytes that other downloads will still write.
    func check(promised: Int) throws {
        for target in targets where Storage.exists(target) {
            throw APIError(
                409, "model_exists", type: "conflict", parameter: "repo_id", "'\(modelID)' is in the model folder already (delete it first)")
        }
        try Storage.make(folder)
        let wanted = totalBytes - files.reduce(0) { $0 + min($1.sizeBytes, Storage.size(staging + "/" + $1.lastName)) }
        if let room = Storage.room(in: folder), wanted + promised + Self.spareBytes > room {
            throw Self.storageFull("\(wanted) bytes to be written, \(max(0, room - promised - Self.spareBytes)) free in the model folder")
        }
    }

    static func storageFull(_ message: String) -> APIError {
        APIError(507, "storage-full", type: "insufficient_disk", alternativeCode: "insufficient_disk", message)
    }

    // MARK: Fetching

    /// Fetches, checks and puts in place. Told by `progress` how many bytes and whole files are here.
    func run(_ progress: @escaping @Sendable (_ bytes: Int, _ files: Int) -> Void) async throws {
        try await Worker.run { try Storage.make(staging) }
        var done = 0
        for (index, file) in files.enumerated() {
            let before = done
            try await fetch(file) { progress(before + $0, index) }
            done += file.sizeBytes
            progress(done, index + 1)
        }
        try await Worker.run { try publish() }
    }

    private func fetch(_ file: HubRepository.File, _ progress: @escaping @Sendable (Int) -> Void) async throws {
        let part = try await Worker.run { try PartFile(staging + "/" + file.lastName) }
        if part.size > file.sizeBytes { try await Worker.run { try part.empty() } }
        var checksum = file.checksum
        var isSecond = false
        while true {
            var failures = 0
            while part.size < file.sizeBytes || (file.checksum == nil && checksum == nil) {
                let before = part.size
                do {
                    let found = try await request(file, part, progress)
                    checksum = file.checksum ?? found
                    if part.size >= file.sizeBytes { break }
                    failures = part.size > before ? 0 : failures + 1
                } catch let failure as HubFailure {
                    try Task.checkCancellation()
                    failures = part.size > before ? 0 : failures + 1
                    if failure.isFinal || failures >= Self.tries { throw failure }
                }
                if failures >= Self.tries { throw HubFailure(isTimeout: true, isFinal: true, "\(file.lastName): the hub sends nothing more") }
                if part.size < file.sizeBytes { try await Task.sleep(for: .milliseconds(200 << failures)) }
            }
            guard let sum = checksum else { break }
            if try await Worker.run({ try part.comes(to: sum) }) { break }
            try await Worker.run { try part.empty() }
            if isSecond { throw ChecksumFailure(file: file.lastName, expected: sum.hex) }
            isSecond = true
            progress(0)
        }
        try await Worker.run { try part.sync() }
    }

    /// Asks for what is missing of a file and appends what comes. Returns the checksum that the answer names.
    private func request(
        _ file: HubRepository.File, _ part: PartFile, _ progress: @escaping @Sendable (Int) -> Void
    ) async throws -> HubRepository.Checksum? {
        let address = "\(hub)/\(repository.id)/resolve/\(repository.commit)/\(file.name)"
        let range = part.size > 0 && part.size < file.sizeBytes ? [("Range", "bytes=\(part.size)-")] : []
        let found = Locked<HubRepository.Checksum?>(nil)
        try await client.get(address, range, token: token) { head in
            switch head.status {
            case 206:
                guard let place = head.fields["content-range"], place.hasPrefix("bytes \(part.size)-") else {
                    throw HubFailure(isFinal: true, "\(file.lastName): the hub sends another part than was asked for")
                }
            case 200: if part.size > 0 { try part.empty() }
            case 416:
                try part.empty()
                throw HubFailure(isFinal: false, "\(file.lastName): the hub has no such part")
            case 408, 425, 429, 500...: throw HubFailure(isFinal: false, "\(file.lastName): status \(head.status)")
            default: throw HubFailure(isFinal: true, "\(file.lastName): status \(head.status)")
            }
            let sum = Self.checksum(head.fields["x-linked-etag"] ?? head.fields["etag"])
            found.withLock { $0 = sum }
        } take: { bytes in
            guard part.size + bytes.count <= file.sizeBytes else {
                throw HubFailure(isFinal: true, "\(file.lastName): longer than the \(file.sizeBytes) bytes that were promised")
            }
            try part.append(bytes)
            progress(part.size)
        }
        return found.withLock { $0 }
    }

    /// An ETag that is a SHA-256, or git's name of the contents.
    static func checksum(_ tag: String?) -> HubRepository.Checksum? {
        guard let tag else { return nil }
        let hex = (tag.hasPrefix("W/") ? tag.dropFirst(2) : tag[...]).filter { $0 != "\"" }.lowercased()
        guard hex.allSatisfy(\.isHexDigit) else { return nil }
        return hex.utf8.count == 64 ? .sha256(hex) : hex.utf8.count == 40 ? .gitBlob(hex) : nil
    }

    // MARK: After

    private func publish() throws {
        if isCheckpoint {
            Storage.sync(staging)
            try Storage.move(staging, to: modelPath)
        } else {
            // The first part last: without it the others are no model.
            for file in files.reversed() { try Storage.move(staging + "/" + file.lastName, to: folder + "/" + file.lastName) }
            Storage.remove(staging, files: [])
        }
        Storage.sync(folder)
    }

    /// Gives back what was fetched of it. Blocks.
    func discard() { Storage.remove(staging, files: files.map(\.lastName)) }
}

/// What came is not what the hub has.
struct ChecksumFailure: Error, CustomStringConvertible {
    let file: String
    let expected: String
    var description: String { "\(file): its checksum is not \(expected), twice" }
}
