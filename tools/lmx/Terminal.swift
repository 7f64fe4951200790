internal import Foundation
internal import Synchronization

/// Standard error for people: notes, and a progress bar where it is a terminal.
enum Terminal {
    static let showsProgress = isatty(2) == 1
    static let isInteractive = isatty(0) == 1 && isatty(1) == 1

    static func note(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }

    /// Writes without a line break and at once: streamed text.
    static func write(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// A bar that redraws itself; nothing where standard error is no terminal.
    static func progress(_ title: String) -> @Sendable (Double) -> Void {
        guard showsProgress else { return { _ in } }
        let shown = Mutex(-1)  // whole percent; a redraw for less is noise
        return { share in
            let percent = Int((max(0, min(1, share)) * 100).rounded(.down))
            guard shown.withLock({ last in
                defer { last = percent }
                return last != percent
            }) else { return }
            let width = 30
            let filled = percent * width / 100
            let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
            let end = percent == 100 ? "\r\u{1B}[K" : ""
            FileHandle.standardError.write(Data("\r\(title) \(bar) \(percent) %\(end)".utf8))
        }
    }
}

extension Double {
    /// Fixed decimals, a point whatever the locale.
    func fixed(_ decimals: Int) -> String { String(format: "%.\(decimals)f", self) }
}

/// Bytes for people, in powers of 1024.
func humanBytes(_ count: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(count)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    return unit == 0 ? "\(count) B" : "\(value.fixed(value < 10 ? 2 : 1)) \(units[unit])"
}

/// Rows under aligned headings; columns whose cells are all numbers stand right.
func table(_ head: [String], _ rows: [[String]]) -> String {
    let widths = head.indices.map { column in ([head] + rows).map { $0[column].count }.max() ?? 0 }
    let numeric = head.indices.map { column in
        rows.allSatisfy { row in row[column].first.map { $0.isNumber || $0 == "-" || $0 == "–" } ?? true }
    }
    func line(_ cells: [String]) -> String {
        let padded = cells.indices.map { column in
            let space = String(repeating: " ", count: widths[column] - cells[column].count)
            return numeric[column] ? space + cells[column] : cells[column] + space
        }
        var text = padded.joined(separator: "  ")
        while text.last == " " { text.removeLast() }
        return text
    }
    return ([line(head)] + rows.map(line)).joined(separator: "\n")
}

/// The same as a Markdown table.
func markdownTable(_ head: [String], _ rows: [[String]]) -> String {
    let rule = "|" + head.map { _ in "---|" }.joined()
    return (["| " + head.joined(separator: " | ") + " |", rule] + rows.map { "| " + $0.joined(separator: " | ") + " |" }).joined(
        separator: "\n")
}
