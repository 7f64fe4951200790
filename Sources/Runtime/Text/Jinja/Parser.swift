/// Tokens → statements, after Jinja's grammar.
struct Parser {
    var tokens: [Token]
    var index = 0
    var depth = 0
    /// Special names seen in each enclosing macro and loop, outermost first.
    var mentions: [Mentions] = [[]]
    private var openTags: [String] = []
    private var loops = 0

    static func parse(_ source: String) throws(TemplateError) -> [Statement] {
        var parser = Parser(tokens: try Lexer.tokens(of: source))
        return try parser.statements(until: [])
    }

    private init(tokens: [Token]) { self.tokens = tokens }

    // MARK: Tokens

    var current: Token { tokens[min(index, tokens.count - 1)] }
    var following: Token { tokens[min(index + 1, tokens.count - 1)] }

    @discardableResult
    mutating func advance() -> Token {
        defer { index += 1 }
        return current
    }

    func isSymbol(_ text: String) -> Bool { current.kind == .symbol && current.text == text }
    func isName(_ text: String) -> Bool { current.kind == .name && current.text == text }

    mutating func skip(symbol text: String) -> Bool {
        guard isSymbol(text) else { return false }
        advance()
        return true
    }

    mutating func skip(name text: String) -> Bool {
        guard isName(text) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol text: String) throws(TemplateError) {
        if !skip(symbol: text) { throw unexpected(text) }
    }

    mutating func expectName() throws(TemplateError) -> String {
        guard current.kind == .name else { throw unexpected("name") }
        return advance().text
    }

    mutating func expect(_ kind: Token.Kind) throws(TemplateError) {
        guard current.kind == kind else { throw unexpected(Token(kind: kind, line: 0).described) }
        advance()
    }

    func unexpected(_ wanted: String) -> TemplateError {
        let text =
            current.kind == .end
            ? "unexpected end of template, expected '\(wanted)'" : "expected token '\(wanted)', got '\(current.described)'"
        return TemplateError(.syntax, text, line: current.line)
    }

    func error(_ text: String, line: Int? = nil) -> TemplateError { TemplateError(.syntax, text, line: line ?? current.line) }

    mutating func enter() throws(TemplateError) {
        depth += 1
        if depth > TemplateLimits.parseDepth {
            throw TemplateError(.budget, "nested deeper than \(TemplateLimits.parseDepth)", line: current.line)
        }
    }

    mutating func mention(_ name: String) {
        let mention: Mentions
        switch name {
        case "loop":
            let safe: Set<String> = ["index", "index0", "first", "previtem", "cycle", "changed", "depth", "depth0"]
            mention = isSymbol(".") && safe.contains(following.text) ? .loop : [.loop, .loopAhead]
        case "caller": mention = .caller
        case "varargs": mention = .positional
        case "kwargs": mention = .named
        default: return
        }
        for place in mentions.indices { mentions[place].insert(mention) }
    }

    // MARK: Statements

    /// Statements up to a tag of one of the given names, whose name becomes the current token; without names, to the end.
    mutating func statements(until ends: [String]) throws(TemplateError) -> [Statement] {
        try enter()
        defer { depth -= 1 }
        var body: [Statement] = []
        while true {
            let token = current
            switch token.kind {
            case .data:
                advance()
                body.append(Statement(line: token.line, kind: .text(token.text)))
            case .variableBegin:
                advance()
                let value = try tuple()
                try expect(.variableEnd)
                body.append(Statement(line: token.line, kind: .print([value])))
            case .blockBegin:
                advance()
                if current.kind == .name, ends.contains(current.text) { return body }
                body.append(try statement(looking: ends))
                try expect(.blockEnd)
            default:
                if !ends.isEmpty { throw error("unexpected end of template, looking for \(Self.choices(ends))\(innermost)") }
                return body
            }
        }
    }

    private var innermost: String { openTags.last.map { "; the innermost block that needs to be closed is '\($0)'" } ?? "" }

    private static func choices(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: " or ") }

    /// The body of a tag: the rest of the opening tag must be empty. Consumes the name of the tag that ends it.
    private mutating func body(until ends: String...) throws(TemplateError) -> (statements: [Statement], end: String) {
        _ = skip(symbol: ":")
        try expect(.blockEnd)
        let found = try statements(until: ends)
        return (found, advance().text)
    }

    private mutating func statement(looking ends: [String]) throws(TemplateError) -> Statement {
        guard current.kind == .name else { throw error("tag name expected") }
        let line = current.line
        let tag = current.text
        openTags.append(tag)
        defer { openTags.removeLast() }
        let kind: Statement.Kind
        switch tag {
        case "for": kind = try forStatement()
        case "if": kind = try ifStatement()
        case "set": kind = try setStatement()
        case "macro": kind = try macroStatement()
        case "call": kind = try callStatement()
        case "filter":
            advance()
            let filters = try filterChain(startsInline: true)
            kind = .filter(filters, try body(until: "endfilter").statements)
        case "with": kind = try withStatement()
        case "print":
            advance()
            var values: [Node] = []
            while current.kind != .blockEnd {
                if !values.isEmpty { try expect(symbol: ",") }
                values.append(try expression())
            }
            kind = .print(values)
        case "generation":
            advance()
            let outer = loops
            loops = 0
            kind = .scope(try body(until: "endgeneration").statements)
            loops = outer
        case "block":
            advance()
            let name = try expectName()
            _ = skip(name: "scoped")
            let outer = loops
            loops = 0
            kind = .scope(try body(until: "endblock").statements)
            loops = outer
            _ = skip(name: name)
        case "break", "continue":
            advance()
            if loops == 0 { throw error("'\(tag)' outside loop", line: line) }
            kind = tag == "break" ? .breakLoop : .continueLoop
        case "include", "import", "from", "extends", "autoescape", "do", "trans", "debug":
            throw TemplateError(.unsupported, "the tag '\(tag)' is not allowed in a chat template", line: line)
        default:
            openTags.removeLast()
            defer { openTags.append(tag) }
            let looking = ends.isEmpty ? "" : ", looking for \(Self.choices(ends))"
            throw error("unknown tag '\(tag)'\(looking)\(innermost)", line: line)
        }
        return Statement(line: line, kind: kind)
    }

    private mutating func forStatement() throws(TemplateError) -> Statement.Kind {
        advance()
        let target = try target(endsAtIn: true)
        if Self.assigns("loop", target) { throw error("can't assign to the special variable 'loop' in a for target") }
        guard skip(name: "in") else { throw unexpected("in") }
        let iterable = try tuple(conditional: false, endsAt: "recursive")
        mentions.append([])
        let test = skip(name: "if") ? try expression() : nil
        mentions[mentions.count - 1] = []
        let isRecursive = skip(name: "recursive")
        loops += 1
        let (statements, end) = try body(until: "endfor", "else")
        loops -= 1
        let seen = mentions.removeLast()
        let otherwise = end == "else" ? try body(until: "endfor").statements : []
        return .loop(
            ForStatement(
                target: target, iterable: iterable, test: test, isRecursive: isRecursive, body: statements, otherwise: otherwise,
                mentions: seen))
    }

    private mutating func ifStatement() throws(TemplateError) -> Statement.Kind {
        var branches: [(test: Node, body: [Statement])] = []
        while true {
            advance()
            let test = try tuple(conditional: false)
            let (statements, end) = try body(until: "elif", "else", "endif")
            branches.append((test, statements))
            if end == "elif" {
                index -= 1
                continue
            }
            return .choice(branches, otherwise: end == "else" ? try body(until: "endif").statements : [])
        }
    }

    private mutating func setStatement() throws(TemplateError) -> Statement.Kind {
        advance()
        let target = try target(allowsAttributes: true)
        if skip(symbol: "=") { return .set(target, try tuple()) }
        let filters = try filterChain(startsInline: false)
        return .setBlock(target, filters, try body(until: "endset").statements)
    }

    private mutating func withStatement() throws(TemplateError) -> Statement.Kind {
        advance()
        var bindings: [(target: Target, value: Node)] = []
        while current.kind != .blockEnd {
            if !bindings.isEmpty { try expect(symbol: ",") }
            let target = try target()
            try expect(symbol: "=")
            bindings.append((target, try expression()))
        }
        return .with(bindings, try body(until: "endwith").statements)
    }

    private mutating func macroStatement() throws(TemplateError) -> Statement.Kind {
        advance()
        let name = try bindableName()
        let parameters = try signature()
        return .macro(try macro(name, parameters, end: "endmacro"))
    }

    private mutating func callStatement() throws(TemplateError) -> Statement.Kind {
        let line = advance().line
        let parameters = isSymbol("(") ? try signature() : []
        let call = try expression()
        guard case .postfix(_, let parts) = call.expression, case .call? = parts.last?.kind else {
            throw error("expected call", line: line)
        }
        return .call(try macro("caller", parameters, end: "endcall"), call)
    }

    private mutating func macro(
        _ name: String, _ parameters: [(name: String, initial: Node?)], end: String
    ) throws(TemplateError) -> MacroStatement {
        let outer = loops
        loops = 0
        mentions.append([])
        let statements = try body(until: end).statements
        let seen = mentions.removeLast()
        loops = outer
        if seen.contains(.caller), let own = parameters.first(where: { $0.name == "caller" }), own.initial == nil {
            throw error("the special argument 'caller' must be left out or be given a default")
        }
        return MacroStatement(name: name, parameters: parameters, body: statements, mentions: seen)
    }

    private mutating func signature() throws(TemplateError) -> [(name: String, initial: Node?)] {
        try expect(symbol: "(")
        var parameters: [(name: String, initial: Node?)] = []
        while !isSymbol(")") {
            if !parameters.isEmpty { try expect(symbol: ",") }
            let line = current.line
            let name = try bindableName()
            if parameters.count > 255 { throw error("too many parameters", line: line) }
            if parameters.contains(where: { $0.name == name }) { throw error("duplicate parameter '\(name)'", line: line) }
            let initial = skip(symbol: "=") ? try expression() : nil
            if initial == nil, parameters.last?.initial != nil { throw error("non-default argument follows default argument", line: line) }
            parameters.append((name, initial))
        }
        try expect(symbol: ")")
        return parameters
    }

    // MARK: Targets of assignment

    private mutating func bindableName() throws(TemplateError) -> String {
        let line = current.line
        let name = try expectName()
        if ["true", "false", "none", "True", "False", "None"].contains(name) { throw error("can't assign to '\(name)'", line: line) }
        return name
    }

    /// A name, a tuple of names, or `namespace.attribute` where that is allowed.
    mutating func target(endsAtIn: Bool = false, allowsAttributes: Bool = false) throws(TemplateError) -> Target {
        var parts: [Target] = []
        var isTuple = false
        while true {
            if !parts.isEmpty { try expect(symbol: ",") }
            if current.kind == .variableEnd || current.kind == .blockEnd || isSymbol(")") || (endsAtIn && isName("in")) { break }
            parts.append(try targetPart(allowsAttributes))
            guard isSymbol(",") else { break }
            isTuple = true
        }
        if isTuple { return .tuple(parts) }
        guard let part = parts.first else { throw error("expected an expression, got '\(current.described)'") }
        return part
    }

    private mutating func targetPart(_ allowsAttributes: Bool) throws(TemplateError) -> Target {
        if skip(symbol: "(") {
            try enter()
            defer { depth -= 1 }
            if skip(symbol: ")") { return .tuple([]) }
            let inner = try target(allowsAttributes: allowsAttributes)
            try expect(symbol: ")")
            return inner
        }
        guard current.kind == .name else { throw error("can't assign to '\(current.described)'") }
        let line = current.line
        let name = try bindableName()
        if allowsAttributes, skip(symbol: ".") { return .attribute(of: name, try expectName()) }
        if name == "loop", loops > 0 { throw error("can't assign to the special variable 'loop'", line: line) }
        return .name(name)
    }

    private static func assigns(_ name: String, _ target: Target) -> Bool {
        switch target {
        case .name(let other): other == name
        case .attribute: false
        case .tuple(let parts): parts.contains { assigns(name, $0) }
        }
    }
}
