#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The Date field of an answer, as RFC 9110 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
enum HTTPDate {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    static var now: String {
        var seconds = time(nil)
        var date = tm()
        gmtime_r(&seconds, &date)
        let day = days[Int(date.tm_wday)], month = months[Int(date.tm_mon)]
        let clock = [date.tm_hour, date.tm_min, date.tm_sec].map(twoDigits).joined(separator: ":")
        return "\(day), \(twoDigits(date.tm_mday)) \(month) \(Int(date.tm_year) + 1900) \(clock) GMT"
    }

    private static func twoDigits(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
