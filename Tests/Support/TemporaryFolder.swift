internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#endif

/// A folder for one test. All of them go when the process ends.
public struct TemporaryFolder: Sendable {
    public let path: String

    public init() {
        let memory = access("/dev/shm", W_OK) == 0  // thousands of small files: not through a disk where there is a choice
        var template = Array((memory ? "/dev/shm/lmx-test-XXXXXX" : "/tmp/lmx-test-XXXXXX").utf8CString)
        path = template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
        Self.all.withLock { folders in
            if folders.isEmpty { atexit { TemporaryFolder.all.withLock { $0 }.forEach(TemporaryFolder.remove) } }
            folders.append(path)
        }
    }

    private static let all = Mutex<[String]>([])

    /// Writes a file, and the folders that its name has, and gives its path.
    @discardableResult
    public func write(_ bytes: some Collection<UInt8>, to name: String) -> String {
        let file = path + "/" + name
        for (index, character) in zip(name.indices, name) where character == "/" { mkdir(path + "/" + name[..<index], 0o755) }
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        precondition(descriptor >= 0, "cannot write \(file)")
        defer { close(descriptor) }
        let all = Array(bytes)
        var written = 0
        while written < all.count {
            let count = all.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + written, all.count - written) }
            precondition(count > 0, "cannot write \(file)")
            written += count
        }
        return file
    }

    @discardableResult
    public func write(_ text: String, to name: String) -> String { write(Array(text.utf8), to: name) }

    private static func remove(_ folder: String) {
        if let directory = opendir(folder) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name == "." || name == ".." { continue }
                if unlink(folder + "/" + name) != 0 { remove(folder + "/" + name) }
            }
            closedir(directory)
        }
        rmdir(folder)
    }
}

extension Corpus {
    /// The bytes of a file, nil where it can't be read.
    public static func bytes(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + filled, $0.count - filled) }
            guard count > 0 else { return nil }
            filled += count
        }
        return bytes
    }

    /// The names in a folder, sorted; empty where it can't be read.
    public static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
