#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A value that threads use in turn, for a few instructions each.
///
/// A lock of the C library rather than `Synchronization.Mutex`, because the thread sanitizer knows it: with the other it
/// reports a race at every use.
///
/// `@unchecked Sendable`: every access to `value` holds the lock.
package final class Locked<Value>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    package init(_ value: sending Value) {
        self.value = value
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
