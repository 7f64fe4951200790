/// Expressions, by precedence: conditional, or, and, not, comparison, + -, ~, * / // %, **, sign, postfix, filters and tests.
extension Parser {
    private enum Precedence {
        static let or = 1
        static let and = 2
        static let not = 3
        static let comparison = 4
        static let sum = 5
        static let concatenation = 6
        static let product = 7
        static let power = 8
    }

    /// One expression, or a tuple where commas follow.
    mutating func tuple(conditional: Bool = true, endsAt word: String? = nil, inParentheses: Bool = false) throws(TemplateError) -> Node {
        let line = current.line
        var items: [Node] = []
        var isTuple = false
        while true {
            if !items.isEmpty { try expect(symbol: ",") }
            if current.kind == .variableEnd || current.kind == .blockEnd || isSymbol(")") { break }
            if let word, isName(word) { break }
            items.append(try expression(conditional: conditional))
            guard isSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple {
            if let only = items.first { return only }
            if !inParentheses { throw error("expected an expression, got '\(current.described)'") }
        }
        return Node(line: line, expression: .tuple(items))
    }

    mutating func expression(conditional: Bool = true) throws(TemplateError) -> Node {
        var value = try operation(above: Precedence.or)
        guard conditional else { return value }
        var tests = 0
        while skip(name: "if") {
            tests += 1
            if tests > TemplateLimits.parseDepth { throw error("too many conditions in a row") }
            let line = value.line
            let test = try operation(above: Precedence.or)
            let otherwise = skip(name: "else") ? try expression() : nil
            value = Node(line: line, expression: .conditional(test: test, then: value, otherwise: otherwise))
        }
        return value
    }

    /// The operator at the current token: its precedence and how many tokens it has.
    private var binaryOperator: (precedence: Int, tokens: Int)? {
        let token = current
        if token.kind == .name {
            switch token.text {
            case "or": return (Precedence.or, 1)
            case "and": return (Precedence.and, 1)
            case "in": return (Precedence.comparison, 1)
            case "not": return following.kind == .name && following.text == "in" ? (Precedence.comparison, 2) : nil
            default: return nil
            }
        }
        guard token.kind == .symbol else { return nil }
        switch token.text {
        case "==", "!=", "<", "<=", ">", ">=": return (Precedence.comparison, 1)
        case "+", "-": return (Precedence.sum, 1)
        case "~": return (Precedence.concatenation, 1)
        case "*", "/", "//", "%": return (Precedence.product, 1)
        case "**": return (Precedence.power, 1)
        default: return nil
        }
    }

    /// Operands joined by operators of at least the given precedence.
    private mutating func operation(above lowest: Int) throws(TemplateError) -> Node {
        try enter()
        defer { depth -= 1 }
        let line = current.line
        var left: Node
        if lowest <= Precedence.not, isName("not") {
            advance()
            left = Node(line: line, expression: .not(try operation(above: Precedence.not)))
            // What `not` has taken in ends at `and` or `or`.
        } else {
            left = try unary()
        }
        var ceiling = Int.max
        while let (precedence, _) = binaryOperator, precedence >= lowest, precedence < ceiling {
            var operations: [String] = []
            var operands: [Node] = []
            while let (next, count) = binaryOperator, next == precedence {
                operations.append(count == 2 ? "not in" : current.text)
                index += count
                operands.append(try operation(above: precedence + 1))
            }
            left = Node(line: line, expression: Self.join(left, operations, operands, precedence))
            ceiling = precedence
        }
        return left
    }

    private static func join(_ left: Node, _ operations: [String], _ operands: [Node], _ precedence: Int) -> Expression {
        switch precedence {
        case Precedence.or: return .or([left] + operands)
        case Precedence.and: return .and([left] + operands)
        case Precedence.concatenation: return .concatenation([left] + operands)
        case Precedence.comparison:
            return .comparison(left, zip(operations, operands).map { (ComparisonOperator(rawValue: $0) ?? .equal, $1) })
        default:
            return .arithmetic(left, zip(operations, operands).map { (ArithmeticOperator(rawValue: $0) ?? .add, $1) })
        }
    }

    /// A value with its signs, and what follows it.
    private mutating func unary() throws(TemplateError) -> Node {
        let line = current.line
        var signs: [Bool] = []
        while isSymbol("-") || isSymbol("+") { signs.append(advance().text == "-") }
        let base = try primary()
        var parts = try postfix()
        if !signs.isEmpty {
            let inner = parts.isEmpty ? base : Node(line: line, expression: .postfix(base, parts))
            parts = try filtersAndTests()
            let signed = Node(line: line, expression: .signs(signs, inner))
            return parts.isEmpty ? signed : Node(line: line, expression: .postfix(signed, parts))
        }
        parts += try filtersAndTests()
        return parts.isEmpty ? base : Node(line: line, expression: .postfix(base, parts))
    }

    private mutating func primary() throws(TemplateError) -> Node {
        let token = current
        func node(_ expression: Expression) -> Node { Node(line: token.line, expression: expression) }
        switch token.kind {
        case .name:
            advance()
            switch token.text {
            case "true", "True": return node(.constant(.bool(true)))
            case "false", "False": return node(.constant(.bool(false)))
            case "none", "None": return node(.constant(.none))
            default:
                mention(token.text)
                return node(.name(token.text))
            }
        case .string:
            var text = advance().text
            while current.kind == .string { text += advance().text }
            return node(.constant(.text(text)))
        case .integer:
            advance()
            return node(.constant(.int(token.integer)))
        case .float:
            advance()
            return node(.constant(.float(token.float)))
        case .symbol:
            switch token.text {
            case "(":
                advance()
                let inner = try tuple(inParentheses: true)
                try expect(symbol: ")")
                return inner
            case "[": return node(try list())
            case "{": return node(try dictionary())
            default: break
            }
        default: break
        }
        throw error("unexpected '\(token.described)'")
    }

    private mutating func list() throws(TemplateError) -> Expression {
        advance()
        var items: [Node] = []
        while !isSymbol("]") {
            if !items.isEmpty { try expect(symbol: ",") }
            if isSymbol("]") { break }
            items.append(try expression())
        }
        try expect(symbol: "]")
        return .list(items)
    }

    private mutating func dictionary() throws(TemplateError) -> Expression {
        advance()
        var entries: [(key: Node, value: Node)] = []
        while !isSymbol("}") {
            if !entries.isEmpty { try expect(symbol: ",") }
            if isSymbol("}") { break }
            let key = try expression()
            try expect(symbol: ":")
            entries.append((key, try expression()))
        }
        try expect(symbol: "}")
        return .dict(entries)
    }

    /// Attributes, items and calls.
    private mutating func postfix() throws(TemplateError) -> [Postfix] {
        var parts: [Postfix] = []
        while current.kind == .symbol {
            let line = current.line
            switch current.text {
            case ".":
                advance()
                if current.kind == .integer {
                    let position = advance().integer
                    parts.append(Postfix(line: line, kind: .item(Node(line: line, expression: .constant(.int(position))))))
                } else if current.kind == .name {
                    parts.append(Postfix(line: line, kind: .attribute(advance().text)))
                } else {
                    throw error("expected name or number")
                }
            case "[": parts.append(Postfix(line: line, kind: .item(try subscripts())))
            case "(": parts.append(Postfix(line: line, kind: .call(try arguments())))
            default: return parts
            }
        }
        return parts
    }

    private mutating func subscripts() throws(TemplateError) -> Node {
        let line = advance().line
        var items: [Node] = []
        while !isSymbol("]") {
            if !items.isEmpty { try expect(symbol: ",") }
            items.append(try subscriptPart())
        }
        try expect(symbol: "]")
        return items.count == 1 ? items[0] : Node(line: line, expression: .tuple(items))
    }

    private mutating func subscriptPart() throws(TemplateError) -> Node {
        let line = current.line
        let start = isSymbol(":") ? nil : try expression()
        guard skip(symbol: ":") else { return start ?? Node(line: line, expression: .constant(.none)) }
        let stop = isSymbol(":") || isSymbol("]") || isSymbol(",") ? nil : try expression()
        let step = skip(symbol: ":") && !isSymbol("]") && !isSymbol(",") ? try expression() : nil
        return Node(line: line, expression: .slice(start: start, stop: stop, step: step))
    }

    private mutating func arguments() throws(TemplateError) -> Arguments {
        let line = current.line
        try expect(symbol: "(")
        var arguments = Arguments()
        var needsComma = false
        func check(_ isValid: Bool) throws(TemplateError) {
            if !isValid { throw TemplateError(.syntax, "invalid syntax for function call expression", line: line) }
        }
        while !isSymbol(")") {
            if needsComma {
                try expect(symbol: ",")
                if isSymbol(")") { break }
            }
            if skip(symbol: "*") {
                try check(arguments.star == nil && arguments.doubleStar == nil)
                arguments.star = try expression()
            } else if skip(symbol: "**") {
                try check(arguments.doubleStar == nil)
                arguments.doubleStar = try expression()
            } else if current.kind == .name, following.kind == .symbol, following.text == "=" {
                try check(arguments.doubleStar == nil)
                let name = current.text
                if arguments.named.contains(where: { $0.name == name }) { throw error("keyword argument repeated: '\(name)'") }
                if arguments.named.count > 255 { throw error("too many keyword arguments") }
                index += 2
                arguments.named.append((name, try expression()))
            } else {
                try check(arguments.star == nil && arguments.doubleStar == nil && arguments.named.isEmpty)
                arguments.positional.append(try expression())
            }
            needsComma = true
        }
        try expect(symbol: ")")
        return arguments
    }

    private mutating func filtersAndTests() throws(TemplateError) -> [Postfix] {
        var parts: [Postfix] = []
        while true {
            if isSymbol("|") {
                parts += try filterChain(startsInline: false)
            } else if isName("is") {
                parts.append(try test())
            } else if isSymbol("(") {
                parts.append(Postfix(line: current.line, kind: .call(try arguments())))
            } else {
                return parts
            }
        }
    }

    /// `|name(…)|name…`; the first bar is left out where a filter block or chain starts inline.
    mutating func filterChain(startsInline: Bool) throws(TemplateError) -> [Postfix] {
        var parts: [Postfix] = []
        while isSymbol("|") || (startsInline && parts.isEmpty) {
            if !(startsInline && parts.isEmpty) { advance() }
            let line = current.line
            let name = try dottedName()
            let arguments = isSymbol("(") ? try arguments() : Arguments()
            parts.append(Postfix(line: line, kind: .filter(name, arguments)))
        }
        return parts
    }

    private mutating func dottedName() throws(TemplateError) -> String {
        var name = try expectName()
        while skip(symbol: ".") { name += "." + (try expectName()) }
        return name
    }

    private mutating func test() throws(TemplateError) -> Postfix {
        let line = advance().line
        let negated = skip(name: "not")
        let name = try dottedName()
        var arguments = Arguments()
        switch current.kind {
        case .symbol where current.text == "(": arguments = try self.arguments()
        case .symbol where current.text == "[" || current.text == "{": arguments.positional = [try testArgument()]
        case .string, .integer, .float: arguments.positional = [try testArgument()]
        case .name where !["else", "or", "and"].contains(current.text):
            if current.text == "is" { throw error("you cannot chain multiple tests with is") }
            arguments.positional = [try testArgument()]
        default: break
        }
        return Postfix(line: line, kind: .test(name, arguments, negated: negated))
    }

    private mutating func testArgument() throws(TemplateError) -> Node {
        try enter()
        defer { depth -= 1 }
        let base = try primary()
        let parts = try postfix()
        return parts.isEmpty ? base : Node(line: base.line, expression: .postfix(base, parts))
    }
}
