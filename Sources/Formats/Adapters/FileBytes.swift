#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif
internal import Weights

/// The few questions that adapters ask the file system.
enum FileBytes {
    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Up to `count` first bytes of a regular file; nil where it cannot be read.
    static func beginning(of path: String, count: Int) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let got = unsafe read(descriptor, buffer.baseAddress, count)
            filled = Swift.max(got, 0)
        }
    }

    /// The names in a directory, sorted; nil where it cannot be read.
    static func names(in folder: String) -> [String]? {
        guard let directory = unsafe opendir(folder) else { return nil }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
                unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Maps a file of text that may not be larger than `limit`.
    static func text(_ path: String, atMost limit: Int) throws(ModelError) -> Storage {
        let storage = try Storage(mapping: path)
        let size = unsafe storage.bytes.count
        guard size <= limit else {
            throw ModelError(.outOfRange, at: path, "is \(size) bytes long", hint: "at most \(limit) are read")
        }
        return storage
    }
}
