internal import Weights

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// A file being written: buffered, checked, on disk when `finish` returns.
@safe final class OutputFile {
    let path: String
    private(set) var count = 0  // bytes written so far, the buffer's included
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private static let bufferBytes = 1 << 20

    /// - Throws: `unreadable` when the file exists or cannot be made.
    init(creating path: String) throws(ModelError) {
        self.path = path
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.refusal(path, "cannot be created") }
        buffer.reserveCapacity(Self.bufferBytes)
    }

    func append(_ bytes: some Collection<UInt8>) throws(ModelError) {
        buffer.append(contentsOf: bytes)
        count += bytes.count
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(ModelError) {
        unsafe buffer.append(contentsOf: bytes)
        count += bytes.count
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// Writes what is left and waits until the disk has it.
    func finish() throws(ModelError) {
        try flush()
        guard fsync(descriptor) == 0 else { throw Self.refusal(path, "cannot be written") }
        let closing = descriptor
        descriptor = -1
        guard close(closing) == 0 else { throw Self.refusal(path, "cannot be written") }
    }

    deinit { if descriptor >= 0 { _ = close(descriptor) } }

    private func flush() throws(ModelError) {
        var done = 0
        while done < buffer.count {
            let written = unsafe buffer.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw Self.refusal(path, "cannot be written") }
            done += written
        }
        buffer.removeAll(keepingCapacity: true)
    }

    fileprivate static func refusal(_ path: String, _ problem: String) -> ModelError {
        ModelError(.unreadable, at: path, unsafe "\(problem): \(String(cString: strerror(errno)))")
    }
}

/// A folder that appears under its name only when everything in it is complete.
///
/// Until `commit` its files lie in a neighbour, `NAME.partial`, which goes away with this value.
@safe final class OutputFolder {
    private let destination: String
    private let scratch: String
    private var files: [String] = []
    private var committed = false

    /// - Throws: `unreadable` when the destination exists already or its parent cannot be written to.
    init(creating destination: String) throws(ModelError) {
        var path = destination
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.destination = path
        scratch = path + ".partial"
        var status = stat()
        guard unsafe lstat(path, &status) != 0 else {
            throw ModelError(.unreadable, at: path, "exists already", hint: "choose another name or remove it")
        }
        guard unsafe mkdir(scratch, 0o755) == 0 else {
            let exists = errno == EEXIST
            let refusal = OutputFile.refusal(scratch, "cannot be created")
            throw exists
                ? ModelError(.unreadable, at: scratch, "exists already", hint: "another conversion runs, or one broke off: remove it")
                : refusal
        }
    }

    func file(_ name: String) throws(ModelError) -> OutputFile {
        files.append(name)
        return try OutputFile(creating: "\(scratch)/\(name)")
    }

    /// One whole small file.
    func write(_ bytes: some Collection<UInt8>, to name: String) throws(ModelError) {
        let file = try file(name)
        try file.append(bytes)
        try file.finish()
    }

    /// Gives the folder its name.
    func commit() throws(ModelError) {
        try synchronise(scratch)
        guard unsafe rename(scratch, destination) == 0 else { throw OutputFile.refusal(destination, "cannot be created") }
        committed = true
        try synchronise(parent)
    }

    deinit {
        if committed { return }
        for name in files { unsafe unlink("\(scratch)/\(name)") }
        unsafe rmdir(scratch)
    }

    private var parent: String {
        guard let slash = destination.lastIndex(of: "/") else { return "." }
        return slash == destination.startIndex ? "/" : String(destination[..<slash])
    }

    private func synchronise(_ path: String) throws(ModelError) {
        let folder = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw OutputFile.refusal(path, "cannot be opened") }
        defer { _ = close(folder) }
        guard fsync(folder) == 0 else { throw OutputFile.refusal(path, "cannot be written") }
    }
}
