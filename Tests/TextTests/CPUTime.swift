#if canImport(Glibc)
    internal import Glibc
#endif

/// Time that this thread has spent computing, whatever else the machine does.
enum CPUTime {
    static func measure(_ work: () throws -> Void) rethrows -> Double {
        let start = seconds()
        try work()
        return seconds() - start
    }

    private static func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
