/// Which known name was probably meant.
enum Nearest {
    /// ` (did you mean server.port?)`, or nothing where no name is near.
    static func hint(_ name: String, among names: [String]) -> String {
        guard let name = find(name, among: names) else { return "" }
        return " (did you mean \(name)?)"
    }

    /// The name of least distance. A name whose last part is right, under another section, is near, too.
    static func find(_ name: String, among names: [String]) -> String? {
        let last = tail(name)
        guard last.utf8.count <= 64, name.utf8.count <= 128 else { return nil }
        let ranked = names.map { known in
            (known, min(distance(name, known), distance(String(last), String(tail(known))) + (name.contains(".") ? 1 : 0)))
        }
        guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 <= max(2, last.count / 3) else { return nil }
        return best.0
    }

    private static func tail(_ name: String) -> Substring { name.split(separator: ".").last ?? "" }

    /// Letters to insert, remove, replace or swap with their neighbour to make one word of the other.
    static func distance(_ first: String, _ second: String) -> Int {
        let (a, b) = (Array(first.lowercased().utf8), Array(second.lowercased().utf8))
        var rows = [Array(0...b.count)]
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var least = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, rows[i - 1][j - 1] + 1) }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
