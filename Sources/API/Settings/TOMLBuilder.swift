/// A table while its document is read. It knows how it came about, because that decides what may still be added.
final class TOMLBuilder {
    enum Origin {
        case implied  // by the header of a table inside it; its own header may still come
        case header  // by its own header, or it is the root or a table in braces
        case dotted  // by a dotted key: closed for headers, open for dotted keys of the same table
    }

    private enum Node {
        case value(TOMLValue)
        case table(TOMLBuilder)
        case tables(TOMLTables)  // [[name]]
    }

    private var origin: Origin
    private var members: [(key: String, node: Node, line: Int)] = []
    private var places: [String: Int] = [:]

    init(_ origin: Origin) { self.origin = origin }

    var finished: TOMLTable {
        TOMLTable(
            members.map { member in
                let value: TOMLValue =
                    switch member.node {
                    case .value(let value): value
                    case .table(let table): .table(table.finished)
                    case .tables(let tables): .array(tables.list.map { .table($0.finished) })
                    }
                return TOMLTable.Member(key: member.key, value: value, line: member.line)
            })
    }

    /// The table on the way to a header's last name.
    func passed(_ key: String, line: Int) throws(TOMLError) -> TOMLBuilder {
        switch node(key) {
        case nil: return add(key, TOMLBuilder(.implied), line)
        case .table(let table)?: return table
        case .tables(let tables)?: return tables.list[tables.list.count - 1]
        case .value?: throw taken(key, line)
        }
    }

    /// The table that a header opens; each only once.
    func opened(_ key: String, line: Int) throws(TOMLError) -> TOMLBuilder {
        switch node(key) {
        case nil: return add(key, TOMLBuilder(.header), line)
        case .table(let table)? where table.origin == .implied:
            table.origin = .header
            return table
        default: throw taken(key, line)
        }
    }

    /// One more table of a list of tables.
    func appended(_ key: String, line: Int) throws(TOMLError) -> TOMLBuilder {
        let table = TOMLBuilder(.header)
        switch node(key) {
        case .tables(let tables)?: tables.list.append(table)
        case nil: add(key, .tables(TOMLTables(table)), line)
        default: throw taken(key, line)
        }
        return table
    }

    /// The table on the way to a dotted key's last name.
    func dotted(_ key: String, line: Int) throws(TOMLError) -> TOMLBuilder {
        switch node(key) {
        case nil: return add(key, TOMLBuilder(.dotted), line)
        case .table(let table)? where table.origin == .dotted: return table
        default: throw taken(key, line)
        }
    }

    func set(_ key: String, _ value: TOMLValue, line: Int) throws(TOMLError) {
        guard places[key] == nil else { throw taken(key, line) }
        add(key, .value(value), line)
    }

    private func node(_ key: String) -> Node? { places[key].map { members[$0].node } }

    private func add(_ key: String, _ table: TOMLBuilder, _ line: Int) -> TOMLBuilder {
        add(key, .table(table), line)
        return table
    }

    private func add(_ key: String, _ node: Node, _ line: Int) {
        places[key] = members.count
        members.append((key, node, line))
    }

    private func taken(_ key: String, _ line: Int) -> TOMLError {
        let before = places[key].map { members[$0].line } ?? line
        return TOMLError(line: line, problem: "'\(APIError.echo(key))' stands already in line \(before)")
    }
}

/// The tables of one `[[name]]`, at least one.
final class TOMLTables {
    var list: [TOMLBuilder]
    init(_ first: TOMLBuilder) { list = [first] }
}
