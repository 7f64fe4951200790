#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Messages from many threads to one that can sleep while there are none.
///
/// `@unchecked Sendable`: every access to `messages` and `isClosed` holds the mutex.
final class Mailbox<Message: Sendable>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let arrival = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var messages: [Message] = []
    private var isClosed = false

    init() {
        mutex.initialize(to: pthread_mutex_t())
        arrival.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(arrival, nil)
    }

    deinit {
        pthread_cond_destroy(arrival)
        pthread_mutex_destroy(mutex)
        arrival.deallocate()
        mutex.deallocate()
    }

    /// False, and drops the message, when the mailbox is closed.
    @discardableResult
    func post(_ message: Message) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isClosed { return false }
        messages.append(message)
        pthread_cond_signal(arrival)
        return true
    }

    /// Takes no more messages; returns those that nobody has taken.
    func close() -> [Message] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isClosed = true
        defer { messages = [] }
        return messages
    }

    /// All messages in the order of their arrival, and removes them; sleeps until there is one if `waiting`.
    func take(waiting: Bool) -> [Message] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while waiting && messages.isEmpty { pthread_cond_wait(arrival, mutex) }
        if messages.isEmpty { return [] }
        defer { messages = [] }
        return messages
    }
}
