#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The time of day, for reports.
enum WallClock {
    /// Since 1970.
    static var seconds: Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }
}

/// A moment as RFC 3339 writes it: `1994-11-06T08:49:37.250Z`.
enum ISODate {
    /// - Parameter seconds: since 1970.
    static func text(_ seconds: Double) -> String {
        var whole = time_t(seconds)
        var date = tm()
        gmtime_r(&whole, &date)
        let milliseconds = min(999, Int((seconds - Double(whole)) * 1000))
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let day = [padded(Int(date.tm_year) + 1900, 4), padded(Int(date.tm_mon) + 1, 2), padded(Int(date.tm_mday), 2)]
        let clock = [date.tm_hour, date.tm_min, date.tm_sec].map { padded(Int($0), 2) }
        return "\(day.joined(separator: "-"))T\(clock.joined(separator: ":")).\(padded(milliseconds, 3))Z"
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
