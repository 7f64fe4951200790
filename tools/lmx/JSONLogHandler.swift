internal import API
internal import Foundation
internal import Logging
internal import Weights

/// Lines of libraries in the shape of our own JSON lines.
struct JSONLogHandler: LogHandler {
    var logLevel = Logger.Level.info
    var metadata = Logger.Metadata()
    let write: @Sendable (String) -> Void

    init(write: @escaping @Sendable (String) -> Void) { self.write = write }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = JSONObject()
        for (key, value) in metadata.merging(event.metadata ?? [:], uniquingKeysWith: { $1 }).sorted(by: { $0.key < $1.key }) {
            fields[key] = .string("\(value)")
        }
        let level: LogLine.Level = event.level >= .error ? .error : event.level == .warning ? .warning : .info
        let line = LogLine(level, "\(event.message)", event: "library", fields)
        write(line.json(at: Date().timeIntervalSince1970))
    }
}
