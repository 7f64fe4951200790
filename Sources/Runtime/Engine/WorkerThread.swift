#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A thread of our own for work that computes or blocks, which the cooperative pool must never do.
enum WorkerThread {
    /// Does not follow `ulimit -s`, so what fits once fits everywhere.
    static let stackBytes = 8 << 20
    /// Threads that compute yield to those that answer requests: on two cores both are then busy with the model and a
    /// health probe is still answered at once. Threads started from such a thread inherit it.
    static let niceness: Int32 = 5

    /// Runs `body` on a new detached thread; false when the system grants none.
    static func start(name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return false }
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))

        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                start.nameThread()
                setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, WorkerThread.niceness)  // 0: on Linux, this thread
                start.body()
                return nil
            }, start.toOpaque())
        if status != 0 { start.release() }
        return status == 0
    }

    /// Runs `body` on a new thread and returns what it returns; nil when the system grants no thread.
    static func run<Value: Sendable>(name: String, _ body: @escaping @Sendable () -> Value) async -> Value? {
        // The value goes through a lock because the thread sanitizer does not see the order that a continuation makes.
        let result = Locked<Value?>(nil)
        await withCheckedContinuation { continuation in
            let started = start(name: name) {
                result.withLock { $0 = body() }  // nothing of it stays on this thread
                continuation.resume()
            }
            if !started { continuation.resume() }
        }
        return result.withLock { value in
            defer { value = nil }
            return value
        }
    }

    private final class Start: Sendable {
        private let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = String(name.prefix(15))  // the kernel's limit
            self.body = body
        }

        /// What `top` and debuggers show.
        func nameThread() {
            let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
            guard file >= 0 else { return }
            _ = name.withCString { write(file, $0, strlen($0)) }
            close(file)
        }
    }
}

/// Gives a value that is not Sendable to another thread, once.
///
/// `@unchecked Sendable`: whoever puts a value in keeps no reference to it.
struct Handover<Value>: @unchecked Sendable {
    let value: Value
}
