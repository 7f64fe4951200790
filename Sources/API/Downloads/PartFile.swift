#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A file that grows while it is downloaded. Every call blocks.
///
/// `@unchecked Sendable`: one download uses it, one call after another.
final class PartFile: @unchecked Sendable {
    private let path: String
    private let descriptor: Int32
    private(set) var size: Int

    /// Opens what is there already, or a new file; never through a link.
    init(_ path: String) throws(StorageFailure) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw StorageFailure(path, errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            let code = errno
            close(descriptor)
            throw StorageFailure(path, code == 0 ? EINVAL : code)
        }
        size = Int(status.st_size)
    }

    deinit { close(descriptor) }

    func append(_ bytes: [UInt8]) throws(StorageFailure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + written }, bytes.count - written, off_t(size))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw StorageFailure(path, count == 0 ? ENOSPC : errno) }
            written += count
            size += count
        }
    }

    func empty() throws(StorageFailure) {
        guard ftruncate(descriptor, 0) == 0 else { throw StorageFailure(path, errno) }
        size = 0
    }

    /// Whether the contents come to this sum, as they are on the disk.
    func comes(to checksum: HubRepository.Checksum) throws(StorageFailure) -> Bool {
        var digest = checksum.begun(size: size)
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var at = 0
        while at < size {
            let count = pread(descriptor, &block, block.count, off_t(at))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw StorageFailure(path, count == 0 ? EIO : errno) }
            block.withUnsafeBufferPointer { digest.update(UnsafeBufferPointer(rebasing: $0.prefix(count))) }
            at += count
        }
        return digest.hex == checksum.hex
    }

    /// Returns when the contents are on the disk.
    func sync() throws(StorageFailure) {
        guard fsync(descriptor) == 0 else { throw StorageFailure(path, errno) }
    }
}

/// What the disk refuses.
struct StorageFailure: Error, CustomStringConvertible {
    let isFull: Bool
    let description: String

    init(_ path: String, _ code: Int32) {
        isFull = code == ENOSPC || code == EDQUOT || code == EFBIG
        description = "\(path): \(String(cString: strerror(code)))"
    }
}

/// What is done with folders. Every call blocks.
enum Storage {
    /// Bytes that may still be written under a folder; nil where that can't be asked.
    static func room(in folder: String) -> Int? {
        var status = statvfs()
        guard statvfs(folder, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(clamping: status.f_bavail).multipliedReportingOverflow(by: Int(clamping: status.f_frsize))
        return overflow ? .max : bytes
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    static func size(_ path: String) -> Int {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : 0
    }

    /// Makes a folder and those above it.
    static func make(_ folder: String) throws(StorageFailure) {
        if mkdir(folder, 0o755) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let cut = folder.lastIndex(of: "/"), cut > folder.startIndex else { throw StorageFailure(folder, errno) }
        try make(String(folder[..<cut]))
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw StorageFailure(folder, errno) }
    }

    /// Never onto something that is there.
    static func move(_ old: String, to new: String) throws(StorageFailure) {
        if exists(new) { throw StorageFailure(new, EEXIST) }
        guard rename(old, new) == 0 else { throw StorageFailure(new, errno) }
    }

    /// A folder with the files in it.
    static func remove(_ folder: String, files: [String]) {
        for file in files { unlink(folder + "/" + file) }
        rmdir(folder)
    }

    /// Makes what was renamed in a folder last.
    static func sync(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}
