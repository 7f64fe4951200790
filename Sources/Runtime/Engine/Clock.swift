#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The two times that the engine reads: one that only goes forward, for durations, and the one on the wall, for reports.
enum Clock {
    /// Seconds since the process began; never goes back, whatever is done to the wall clock.
    static var seconds: Double {
        let passed = (ContinuousClock.now - origin).components
        return Double(passed.seconds) + Double(passed.attoseconds) * 1e-18
    }

    private static let origin = ContinuousClock.now

    static var epochSeconds: Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
