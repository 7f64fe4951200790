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

    /// Zeros up to the next multiple of a number.
    func pad(to alignment: Int) throws(ModelError) {
        try append(repeatElement(UInt8(0), count: (alignment - count % alignment) % alignment))
    }

    /// Writes over bytes that are there already.
    func replace(at offset: Int, with bytes: [UInt8]) throws(ModelError) {
        try flush()
        precondition(offset >= 0 && offset + bytes.count <= count)
        var done = 0
        while done < bytes.count {
            let written = unsafe bytes.withUnsafeBytes {
                unsafe pwrite(descriptor, $0.baseAddress.map { unsafe $0 + done }, $0.count - done, offset + done)
            }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw Self.refusal(path, "cannot be written") }
            done += written
        }
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

    /// Hands what is buffered to the system.
    func flush() throws(ModelError) {
        var done = 0
        while done < buffer.count {
            let written = unsafe buffer.withUnsafeBytes {
                unsafe write(descriptor, $0.baseAddress.map { unsafe $0 + done }, $0.count - done)
            }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw Self.refusal(path, "cannot be written") }
            done += written
        }
        buffer.removeAll(keepingCapacity: true)
    }

    fileprivate static func refusal(_ path: String, _ problem: String) -> ModelError {
        let code = errno
        let isFull = code == ENOSPC || code == EDQUOT || code == EFBIG
        return ModelError(
            .unreadable, at: path, unsafe "\(problem): \(String(cString: strerror(code)))", hint: isFull ? "nothing was kept" : nil)
    }
}

/// A folder, or a single file, that appears under its name only when everything in it is complete.
///
/// Until `commit` the files lie in a neighbour, the folder `NAME.partial`, which goes away with this value. One that a killed
/// process left behind is told by its lock, which died with the process, and taken over.
@safe final class OutputPlace {
    enum Kind { case file, folder }

    private let destination: String
    private let kind: Kind
    private let scratch: String
    private let lock: Int32
    private var committed = false

    /// - Throws: `unreadable` when the destination exists already, or its parent cannot be written to.
    init(_ kind: Kind, at destination: String) throws(ModelError) {
        var path = destination
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.destination = path
        self.kind = kind
        scratch = path + ".partial"
        var status = stat()
        guard unsafe lstat(path, &status) != 0 else {
            throw ModelError(.unreadable, at: path, "exists already", hint: "choose another name or remove it")
        }
        guard unsafe mkdir(scratch, 0o755) == 0 || errno == EEXIST else { throw OutputFile.refusal(scratch, "cannot be created") }
        lock = unsafe open(scratch, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard lock >= 0 else { throw OutputFile.refusal(scratch, "cannot be opened") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0, Self.isStill(scratch, lock) else {
            _ = close(lock)
            throw ModelError(.unreadable, at: scratch, "belongs to a conversion that is running")
        }
        empty()
    }

    /// Whether a name still leads to the folder that was opened by it.
    private static func isStill(_ path: String, _ descriptor: Int32) -> Bool {
        var opened = stat(), named = stat()
        return unsafe fstat(descriptor, &opened) == 0 && lstat(path, &named) == 0
            && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev
    }

    /// Refuses what the disk has no room for, before anything is written.
    func require(bytes: Int) throws(ModelError) {
        var disk = statvfs()
        guard unsafe fstatvfs(lock, &disk) == 0 else { return }
        let (free, overflow) = UInt64(disk.f_bavail).multipliedReportingOverflow(by: UInt64(disk.f_frsize))
        guard overflow || free >= UInt64(bytes) else {
            throw ModelError(.unreadable, at: destination, "needs \(bytes) bytes, the disk has \(free) left")
        }
    }

    /// Where a file of the folder lies until `commit`, or the folder itself.
    func path(of name: String?) -> String { name.map { "\(scratch)/\($0)" } ?? scratch }

    /// A new file of the folder; of a single file the name does not matter.
    func file(_ name: String) throws(ModelError) -> OutputFile { try OutputFile(creating: "\(scratch)/\(name)") }

    /// One whole small file.
    func write(_ bytes: some Collection<UInt8>, to name: String) throws(ModelError) {
        let file = try file(name)
        try file.append(bytes)
        try file.finish()
    }

    /// Gives the folder, or its one file, the name.
    func commit() throws(ModelError) {
        try synchronise(scratch)
        switch kind {
        case .folder:
            guard unsafe rename(scratch, destination) == 0 else { throw OutputFile.refusal(destination, "cannot be created") }
        case .file:
            guard let name = FileBytes.names(in: scratch)?.first else { return }
            // link refuses a name that somebody took meanwhile, rename would replace it; but not every file system has links.
            if unsafe link("\(scratch)/\(name)", destination) != 0 {
                guard errno != EEXIST, unsafe rename("\(scratch)/\(name)", destination) == 0 else {
                    throw OutputFile.refusal(destination, "cannot be created")
                }
            }
            empty()
            unsafe rmdir(scratch)
        }
        committed = true
        try synchronise(parent)
    }

    deinit {
        if !committed {
            empty()
            unsafe rmdir(scratch)
        }
        _ = close(lock)
    }

    private func empty() { for name in FileBytes.names(in: scratch) ?? [] { unsafe unlink("\(scratch)/\(name)") } }

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
