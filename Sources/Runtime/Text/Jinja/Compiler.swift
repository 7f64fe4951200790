/// Statements → instructions.
struct Compiler {
    private var program = Program()
    private var nameIndex: [[UInt8]: Int] = [:]
    private var line = 1
    private var depth = 0
    /// An unknown filter or test is an error at once, except under a condition: then only when it is reached.
    private var isConditional = false
    /// The loops around the current place within one function.
    private var enclosing: [(next: Int, exits: [Int], captures: Int)] = []
    private var captures = 0

    static func compile(_ source: String) throws(TemplateError) -> Program {
        var compiler = Compiler()
        try compiler.body(try Parser.parse(source))
        compiler.emit(.halt)
        return compiler.program
    }

    // MARK: Emitting

    private var here: Int { program.instructions.count }

    @discardableResult
    private mutating func emit(_ instruction: Instruction) -> Int {
        program.instructions.append(instruction)
        program.lines.append(Int32(clamping: line))
        return program.instructions.count - 1
    }

    /// Points the jump at `place` to the current end of the code.
    private mutating func land(_ place: Int) {
        let target = here
        switch program.instructions[place] {
        case .jump: program.instructions[place] = .jump(target)
        case .jumpIfFalse: program.instructions[place] = .jumpIfFalse(target)
        case .jumpKeepingFalse: program.instructions[place] = .jumpKeepingFalse(target)
        case .jumpKeepingTrue: program.instructions[place] = .jumpKeepingTrue(target)
        case .compareOn(let operation, _): program.instructions[place] = .compareOn(operation, target)
        case .next: program.instructions[place] = .next(target)
        case .endLoop: program.instructions[place] = .endLoop(target)
        case .parameter(let number, _): program.instructions[place] = .parameter(number, target)
        default: break
        }
    }

    private mutating func name(_ text: String) -> Int {
        let key = Array(text.utf8)
        if let index = nameIndex[key] { return index }
        nameIndex[key] = program.names.count
        program.names.append(text)
        return program.names.count - 1
    }

    private mutating func constant(_ value: ProgramConstant) -> Int {
        program.constants.append(value)
        return program.constants.count - 1
    }

    private mutating func enter() throws(TemplateError) {
        depth += 1
        if depth > TemplateLimits.compileDepth {
            throw TemplateError(.budget, "nested deeper than \(TemplateLimits.compileDepth)", line: line)
        }
    }

    /// Compiles a part in which unknown filters are errors again, as in every scope of its own.
    private mutating func unconditionally(_ work: (inout Compiler) throws(TemplateError) -> Void) throws(TemplateError) {
        let outer = isConditional
        isConditional = false
        try work(&self)
        isConditional = outer
    }

    // MARK: Statements

    private mutating func body(_ statements: [Statement]) throws(TemplateError) {
        try enter()
        defer { depth -= 1 }
        for statement in statements { try self.statement(statement) }
    }

    private mutating func statement(_ statement: Statement) throws(TemplateError) {
        line = statement.line
        switch statement.kind {
        case .text(let text): emit(.text(constant(.text(TemplateText(text)))))
        case .print(let nodes):
            for node in nodes {
                try expression(node)
                emit(.print)
            }
        case .choice(let branches, let otherwise): try choice(branches, otherwise)
        case .loop(let loop): try forLoop(loop)
        case .set(let target, let value):
            checkNamespaces(target)
            try expression(value)
            store(target)
        case .setBlock(let target, let filters, let statements):
            checkNamespaces(target)
            try capture(statements)
            for part in filters { try postfix(part) }
            store(target)
        case .macro(let macro):
            try self.macro(macro)
            emit(.store(name(macro.name)))
        case .call(let macro, let call):
            try callBlock(macro, call)
            emit(.print)
        case .filter(let filters, let statements):
            try capture(statements)
            for part in filters { try postfix(part) }
            emit(.printText)
        case .with(let bindings, let statements):
            for binding in bindings { try expression(binding.value) }
            emit(.openScope)
            for binding in bindings.reversed() { store(binding.target) }
            try unconditionally { (compiler) throws(TemplateError) in try compiler.body(statements) }
            emit(.closeScope)
        case .scope(let statements):
            emit(.openScope)
            try unconditionally { (compiler) throws(TemplateError) in try compiler.body(statements) }
            emit(.closeScope)
        case .breakLoop:
            leaveCaptures()
            let jump = emit(.jump(0))
            if !enclosing.isEmpty { enclosing[enclosing.count - 1].exits.append(jump) }
        case .continueLoop:
            leaveCaptures()
            emit(.jump(enclosing.last?.next ?? 0))
        }
    }

    private mutating func leaveCaptures() {
        for _ in (enclosing.last?.captures ?? captures)..<captures { emit(.dropCapture) }
    }

    private mutating func choice(
        _ branches: [(test: Node, body: [Statement])], _ otherwise: [Statement]
    ) throws(TemplateError) {
        let outer = isConditional
        isConditional = true
        var exits: [Int] = []
        for (test, statements) in branches {
            try expression(test)
            let skip = emit(.jumpIfFalse(0))
            try body(statements)
            exits.append(emit(.jump(0)))
            land(skip)
        }
        try body(otherwise)
        for exit in exits { land(exit) }
        isConditional = outer
    }

    /// Pushes what the statements print.
    private mutating func capture(_ statements: [Statement]) throws(TemplateError) {
        emit(.beginCapture)
        emit(.openScope)
        captures += 1
        try unconditionally { (compiler) throws(TemplateError) in try compiler.body(statements) }
        captures -= 1
        emit(.closeScope)
        emit(.endCapture)
    }

    private mutating func forLoop(_ loop: ForStatement) throws(TemplateError) {
        let shape = program.loops.count
        program.loops.append(LoopShape(bindsLoop: loop.isRecursive || loop.mentions.contains(.loop)))
        try expression(loop.iterable)
        if loop.isRecursive {
            emit(.callLoop(shape))
            emit(.print)
            let skip = emit(.jump(0))
            program.loops[shape].entry = here
            try function { (compiler) throws(TemplateError) in try compiler.loopCode(loop, shape) }
            land(skip)
        } else {
            try loopCode(loop, shape)
        }
    }

    /// Code that is entered by a call and left by `leave`.
    private mutating func function(_ work: (inout Compiler) throws(TemplateError) -> Void) throws(TemplateError) {
        let outer = (enclosing, captures)
        enclosing = []
        captures = 0
        try unconditionally(work)
        emit(.leave)
        (enclosing, captures) = outer
    }

    private mutating func loopCode(_ loop: ForStatement, _ shape: Int) throws(TemplateError) {
        let outer = isConditional
        isConditional = false
        let looksAhead = loop.isRecursive || loop.mentions.contains(.loopAhead)
        if let test = loop.test, looksAhead {
            emit(.beginFilter)
            let next = emit(.next(0))
            store(loop.target)
            try expression(test)
            emit(.keep)
            emit(.jump(next))
            land(next)
            emit(.endFilter)
        }
        emit(.beginLoop(shape))
        let next = emit(.next(0))
        store(loop.target)
        if let test = loop.test, !looksAhead {
            try expression(test)
            emit(.jumpIfFalse(next))
        }
        emit(.accept)
        enclosing.append((next, [], captures))
        try body(loop.body)
        let exits = enclosing.removeLast().exits
        emit(.again(next))
        land(next)
        for exit in exits { land(exit) }
        let end = emit(.endLoop(0))
        if !loop.otherwise.isEmpty {
            emit(.openScope)
            try body(loop.otherwise)
            emit(.closeScope)
        }
        land(end)
        isConditional = outer
    }

    // MARK: Macros

    /// Pushes a macro. Its code lies in the way and is jumped over.
    private mutating func macro(_ macro: MacroStatement) throws(TemplateError) {
        let parameters = macro.parameters.map { name($0.name) }
        let names = Set(macro.parameters.map(\.name))
        let number = program.macros.count
        program.macros.append(
            MacroShape(
                name: macro.name, parameters: parameters, hasInitial: macro.parameters.map { $0.initial != nil },
                catchesPositional: macro.mentions.contains(.positional) && !names.contains("varargs"),
                catchesNamed: macro.mentions.contains(.named) && !names.contains("kwargs"),
                usesCaller: macro.mentions.contains(.caller)))
        let skip = emit(.jump(0))
        program.macros[number].entry = here
        try function { (compiler) throws(TemplateError) in
            for (index, parameter) in macro.parameters.enumerated() {
                let given = compiler.emit(.parameter(index, 0))
                if let initial = parameter.initial {
                    try compiler.expression(initial)
                } else {
                    compiler.emit(.missingParameter(parameters[index]))
                }
                compiler.emit(.store(parameters[index]))
                compiler.land(given)
            }
            try compiler.body(macro.body)
        }
        land(skip)
        emit(.makeMacro(number))
    }

    /// A call that gets the body of the block as the macro `caller`.
    private mutating func callBlock(_ macro: MacroStatement, _ call: Node) throws(TemplateError) {
        guard case .postfix(let base, let parts) = call.expression, let last = parts.last, case .call(var arguments) = last.kind else {
            return
        }
        try expression(base)
        for part in parts.dropLast() { try postfix(part) }
        let star = (arguments.star, arguments.doubleStar)
        arguments.star = nil
        arguments.doubleStar = nil
        var shape = try self.arguments(arguments)
        try self.macro(macro)
        shape.names.append("caller")
        if let node = star.0 {
            try expression(node)
            shape.hasStar = true
        }
        if let node = star.1 {
            try expression(node)
            shape.hasDoubleStar = true
        }
        line = last.line
        program.calls.append(shape)
        emit(.call(program.calls.count - 1))
    }

    // MARK: Targets

    private mutating func checkNamespaces(_ target: Target) {
        switch target {
        case .name: break
        case .attribute(let owner, _): emit(.checkNamespace(name(owner)))
        case .tuple(let parts): for part in parts { checkNamespaces(part) }
        }
    }

    private mutating func store(_ target: Target) {
        switch target {
        case .name(let text): emit(.store(name(text)))
        case .attribute(let owner, let attribute): emit(.storeAttribute(of: name(owner), name(attribute)))
        case .tuple(let parts):
            emit(.unpack(parts.count))
            for part in parts { store(part) }
        }
    }

    // MARK: Expressions

    private mutating func expression(_ node: Node) throws(TemplateError) {
        try enter()
        defer { depth -= 1 }
        line = node.line
        switch node.expression {
        case .constant(let value): emit(.constant(constant(Self.program(value))))
        case .name(let text): emit(.load(name(text)))
        case .list(let nodes):
            for node in nodes { try expression(node) }
            emit(.list(nodes.count))
        case .tuple(let nodes):
            for node in nodes { try expression(node) }
            emit(.tuple(nodes.count))
        case .dict(let entries):
            for entry in entries {
                try expression(entry.key)
                try expression(entry.value)
            }
            emit(.dict(entries.count))
        case .signs(let signs, let operand):
            try expression(operand)
            for negative in signs.reversed() { emit(negative ? .negate : .plus) }
        case .not(let operand):
            try expression(operand)
            emit(.not)
        case .and(let nodes): try shortCircuit(nodes, .jumpKeepingFalse(0))
        case .or(let nodes): try shortCircuit(nodes, .jumpKeepingTrue(0))
        case .concatenation(let nodes):
            for node in nodes { try expression(node) }
            emit(.concatenate(nodes.count))
        case .arithmetic(let first, let rest):
            try expression(first)
            for (operation, operand) in rest {
                try expression(operand)
                emit(.arithmetic(operation))
            }
        case .comparison(let first, let rest): try comparison(first, rest)
        case .conditional(let test, let then, let otherwise): try conditional(test, then, otherwise)
        case .slice(let start, let stop, let step):
            for part in [start, stop, step] {
                if let part { try expression(part) } else { emit(.constant(constant(.none))) }
            }
            emit(.slice)
        case .postfix(let base, let parts):
            try expression(base)
            for part in parts { try postfix(part) }
        }
    }

    private static func program(_ constant: Constant) -> ProgramConstant {
        switch constant {
        case .none: .none
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .text(let text): .text(TemplateText(text))
        }
    }

    private mutating func shortCircuit(_ nodes: [Node], _ jump: Instruction) throws(TemplateError) {
        var exits: [Int] = []
        for (index, node) in nodes.enumerated() {
            try expression(node)
            if index < nodes.count - 1 { exits.append(emit(jump)) }
        }
        for exit in exits { land(exit) }
    }

    private mutating func comparison(
        _ first: Node, _ rest: [(operation: ComparisonOperator, operand: Node)]
    ) throws(TemplateError) {
        try expression(first)
        var exits: [Int] = []
        for (index, (operation, operand)) in rest.enumerated() {
            try expression(operand)
            if index < rest.count - 1 { exits.append(emit(.compareOn(operation, 0))) } else { emit(.compare(operation)) }
        }
        for exit in exits { land(exit) }
    }

    private mutating func conditional(_ test: Node, _ then: Node, _ otherwise: Node?) throws(TemplateError) {
        let outer = isConditional
        isConditional = true
        try expression(test)
        let skip = emit(.jumpIfFalse(0))
        try expression(then)
        let exit = emit(.jump(0))
        land(skip)
        if let otherwise { try expression(otherwise) } else { emit(.elseless) }
        land(exit)
        isConditional = outer
    }

    private mutating func postfix(_ part: Postfix) throws(TemplateError) {
        line = part.line
        switch part.kind {
        case .attribute(let text): emit(.attribute(name(text)))
        case .item(let node):
            try expression(node)
            line = part.line
            emit(.item)
        case .call(let arguments):
            let shape = try self.arguments(arguments)
            line = part.line
            program.calls.append(shape)
            emit(.call(program.calls.count - 1))
        case .filter(let text, let arguments):
            let filter = Filter(rawValue: text)
            if filter == nil, !isConditional { throw TemplateError(.syntax, "no filter named '\(text)'", line: line) }
            let shape = try self.arguments(arguments)
            line = part.line
            program.calls.append(shape)
            program.filters.append((text, filter))
            emit(.filter(program.filters.count - 1, program.calls.count - 1))
        case .test(let text, let arguments, let negated):
            let test = Test(rawValue: text)
            if test == nil, !isConditional { throw TemplateError(.syntax, "no test named '\(text)'", line: line) }
            let shape = try self.arguments(arguments)
            line = part.line
            program.calls.append(shape)
            program.tests.append((text, test))
            emit(.test(program.tests.count - 1, program.calls.count - 1))
            if negated { emit(.not) }
        }
    }

    private mutating func arguments(_ arguments: Arguments) throws(TemplateError) -> CallShape {
        for node in arguments.positional { try expression(node) }
        for (_, node) in arguments.named { try expression(node) }
        if let node = arguments.star { try expression(node) }
        if let node = arguments.doubleStar { try expression(node) }
        return CallShape(
            positional: arguments.positional.count, names: arguments.named.map(\.name), hasStar: arguments.star != nil,
            hasDoubleStar: arguments.doubleStar != nil)
    }
}
