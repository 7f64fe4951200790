/// Runs a compiled template: a stack of values, a stack of frames, and a budget.
final class Machine {
    let program: Program
    let budget = Budget()
    let now: TemplateTime

    private var stack: [Value] = []
    private var frames: [Frame] = []
    private var loops: [Loop] = []
    private var outputs: [TextBuilder] = [TextBuilder()]  // the last is what is printed to
    private var scope: Scope
    private let root = Scope(parent: nil)
    // Things that values can refer to in circles; all are emptied at the end.
    private var keptScopes: [Scope] = []
    private var namespaces: [Namespace] = []

    /// What a macro or recursive loop goes back to.
    private struct Frame {
        let address: Int
        let scope: Scope
        let given: [Bool]  // which parameters of the macro were passed
    }

    init(_ program: Program, context: [(name: String, value: Value)], now: TemplateTime) {
        self.program = program
        self.now = now
        scope = root
        var values: [[UInt8]: Value] = [:]
        for function in GlobalFunction.allCases where function != .fromKeys { values[Array(function.rawValue.utf8)] = .function(function) }
        for (name, value) in context { values[Array(name.utf8)] = value }
        for (index, name) in program.names.enumerated() {
            if let value = values[Array(name.utf8)] { root[index] = value }
        }
    }

    /// Breaks every circle that values can form.
    private func clear() {
        for scope in keptScopes { scope.clear() }
        for namespace in namespaces { namespace.clear() }
        for loop in loops { loop.finish() }
        root.clear()
        stack = []
        loops = []
        frames = []
        scope = root
    }

    /// Renders the template; a machine runs once.
    func run() throws(TemplateError) -> [TextSegment] {
        defer { clear() }
        var address = 0
        do throws(TemplateError) {
            while true {
                try budget.charge(1)
                let instruction = program.instructions[address]
                address += 1
                if case .halt = instruction { return outputs[0].segments() }
                if let target = try execute(instruction, next: address) { address = target }
            }
        } catch {
            throw error.at(line: address > 0 ? Int(program.lines[address - 1]) : 0)
        }
    }

    // MARK: Stack

    private func push(_ value: Value) { stack.append(value) }
    private func pop() -> Value { stack.popLast() ?? .none }

    private func pop(_ count: Int) -> [Value] {
        let values = Array(stack.suffix(count))
        stack.removeLast(min(count, stack.count))
        return values
    }

    private func print(_ value: Value) throws(TemplateError) {
        if case .text(let text) = value {
            try budget.charge(bytes: text.bytes.count)
            try outputs[outputs.count - 1].append(text)
        } else {
            let before = outputs[outputs.count - 1].count
            try appendString(of: value, to: &outputs[outputs.count - 1])
            try budget.charge(bytes: outputs[outputs.count - 1].count - before)
        }
    }

    private func lookUp(_ name: Int) -> Value {
        var scope: Scope? = scope
        while let place = scope {
            if let value = place[name] { return value }
            scope = place.parent
        }
        return .undefined(Missing(.name(program.names[name])))
    }

    // MARK: Instructions

    /// Does one instruction; gives where to go on if that isn't the next one.
    private func execute(_ instruction: Instruction, next address: Int) throws(TemplateError) -> Int? {
        switch instruction {
        case .text(let index): try print(constant(index))
        case .print: try print(pop())
        case .printText:
            let value = pop()
            guard case .text = value else { throw TemplateError(.type, "a filter block must give a string, not \(value.typeName)") }
            try print(value)
        case .beginCapture: outputs.append(TextBuilder())
        case .endCapture: push(.text(outputs.removeLast().finish()))
        case .dropCapture: outputs.removeLast()
        case .constant(let index): push(constant(index))
        case .load(let name): push(lookUp(name))
        case .store(let name): scope[name] = pop()
        case .checkNamespace(let name):
            guard case .namespace = lookUp(name) else { throw TemplateError(.type, "cannot assign attribute on non-namespace object") }
        case .storeAttribute(let owner, let attribute):
            guard case .namespace(let namespace) = lookUp(owner) else {
                throw TemplateError(.type, "cannot assign attribute on non-namespace object")
            }
            try namespace.set(TemplateText(program.names[attribute]), pop())
        case .unpack(let count): try unpack(count)
        case .pop: _ = pop()
        case .elseless:
            push(.undefined(Missing(.hint("the inline if-expression evaluated to false and no else section was defined"))))
        case .attribute(let name): push(try attribute(program.names[name], of: pop()))
        case .item:
            let key = pop()
            push(try item(key, of: pop()))
        case .slice:
            let parts = pop(3)
            push(.slice(try SliceBox(start: parts[0], stop: parts[1], step: parts[2])))
        case .list(let count): push(.list(try list(pop(count))))
        case .tuple(let count): push(.tuple(try list(pop(count))))
        case .dict(let count):
            let parts = pop(count * 2)
            var pairs: [(key: Value, value: Value)] = []
            for index in 0..<count { pairs.append((parts[index * 2], parts[index * 2 + 1])) }
            push(.dict(try DictBox(pairs)))
        case .arithmetic(let operation):
            let right = pop()
            push(try arithmetic(operation, pop(), right))
        case .compare(let operation):
            let right = pop()
            push(.bool(try compare(operation, pop(), right)))
        case .compareOn(let operation, let exit):
            let right = pop()
            guard try compare(operation, pop(), right) else {
                push(.bool(false))
                return exit
            }
            push(right)
        case .concatenate(let count):
            var builder = TextBuilder()
            for value in pop(count) { try appendString(of: value, to: &builder) }
            try budget.charge(bytes: builder.count)
            push(.text(builder.finish()))
        case .not: push(.bool(!pop().isTrue))
        case .negate: push(try negate(pop()))
        case .plus: push(try plus(pop()))
        case .call(let shape):
            let arguments = try popArguments(program.calls[shape])
            return try call(pop(), arguments, from: address)
        case .filter(let number, let shape):
            let arguments = try popArguments(program.calls[shape])
            let (name, filter) = program.filters[number]
            guard let filter else { throw TemplateError(.type, "no filter named '\(name)' found") }
            push(try apply(filter, to: pop(), arguments))
        case .test(let number, let shape):
            let arguments = try popArguments(program.calls[shape])
            let (name, test) = program.tests[number]
            guard let test else { throw TemplateError(.type, "no test named '\(name)' found") }
            push(.bool(try check(test, pop(), arguments)))
        case .makeMacro(let shape):
            keep(scope)
            push(.macro(Macro(shape, scope)))
        case .parameter(let number, let target):
            if let frame = frames.last, frame.given[number] { return target }
        case .missingParameter(let name):
            push(.undefined(Missing(.hint("parameter '\(program.names[name])' was not provided"))))
        case .callLoop(let shape):
            return try enterLoop(shape, over: pop(), depth0: 0, scope: scope, from: address)
        case .leave:
            push(.text(outputs.removeLast().finish()))
            guard let frame = frames.popLast() else { return nil }
            scope = frame.scope
            return frame.address
        case .jump(let target): return target
        case .jumpIfFalse(let target): return pop().isTrue ? nil : target
        case .jumpKeepingFalse(let target):
            if stack.last?.isTrue == false { return target }
            _ = pop()
        case .jumpKeepingTrue(let target):
            if stack.last?.isTrue == true { return target }
            _ = pop()
        case .openScope: scope = Scope(parent: scope)
        case .closeScope: scope = scope.parent ?? root
        case .beginLoop(let shape):
            let depth0 = pendingDepth
            pendingDepth = 0
            loops.append(Loop(try Items(pop()), shape: shape, depth0: depth0, scope: scope))
        case .beginFilter:
            let loop = Loop(try Items(pop()), shape: 0, depth0: 0, scope: scope)
            loop.kept = []
            loops.append(loop)
        case .next(let exit):
            guard let loop = loops.last else { return exit }
            scope = loop.scope
            guard let value = try loop.next() else { return exit }
            scope = Scope(parent: loop.scope)
            push(value)
        case .accept:
            guard let loop = loops.last else { break }
            loop.accept()
            if program.loops[loop.shape].bindsLoop, let name = loopName { scope[name] = .loop(loop) }
        case .again(let target):
            loops.last?.hasCompleted = true
            return target
        case .endLoop(let target):
            guard let loop = loops.popLast() else { break }
            scope = loop.scope
            let ran = loop.hasCompleted
            loop.finish()
            if ran { return target }
        case .keep: if pop().isTrue { loops.last?.keep() }
        case .endFilter:
            guard let loop = loops.popLast() else { break }
            scope = loop.scope
            push(.list(try list(loop.kept ?? [])))
        case .halt: break
        }
        return nil
    }

    private lazy var loopName = program.names.firstIndex(of: "loop")
    /// How deep the recursive loop is that is about to begin.
    private var pendingDepth = 0

    private func constant(_ index: Int) -> Value {
        switch program.constants[index] {
        case .none: .none
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .text(let text): .text(text)
        }
    }

    func list(_ values: [Value]) throws(TemplateError) -> ListBox {
        try budget.charge(elements: values.count)
        return try ListBox(values)
    }

    private func unpack(_ count: Int) throws(TemplateError) {
        let value = pop()
        let items: Items
        do { items = try Items(value) } catch { throw TemplateError(.type, "cannot unpack non-iterable \(value.typeName) object") }
        var values: [Value] = []
        while values.count <= count, let item = try items.next() { values.append(item) }
        if values.count > count { throw TemplateError(.type, "too many values to unpack (expected \(count))") }
        if values.count < count { throw TemplateError(.type, "not enough values to unpack (expected \(count), got \(values.count))") }
        stack.append(contentsOf: values.reversed())
    }

    /// Notes that a scope outlives its block, and with it those around it.
    private func keep(_ scope: Scope) {
        var place: Scope? = scope
        while let scope = place, !scope.isKept {
            scope.isKept = true
            keptScopes.append(scope)
            place = scope.parent
        }
    }

    func makeNamespace() -> Namespace {
        let namespace = Namespace()
        namespaces.append(namespace)
        return namespace
    }

    // MARK: Calls

    private func popArguments(_ shape: CallShape) throws(TemplateError) -> CallArguments {
        if shape.operands == 0 { return CallArguments() }
        var values = pop(shape.operands)
        let doubleStar = shape.hasDoubleStar ? values.popLast() : nil
        let star = shape.hasStar ? values.popLast() : nil
        var arguments = CallArguments(positional: Array(values.prefix(shape.positional)))
        for (name, value) in zip(shape.names, values.dropFirst(shape.positional)) { arguments.named.append((TemplateText(name), value)) }
        if let star { arguments.positional += try Items(star).drain(budget) }
        if let doubleStar {
            guard case .dict(let dict) = doubleStar else {
                throw TemplateError(.type, "argument after ** must be a mapping, not \(doubleStar.typeName)")
            }
            try budget.charge(dict.entries.count)
            for entry in dict.entries {
                guard case .text(let name) = entry.key else { throw TemplateError(.type, "keywords must be strings") }
                if shape.names.contains(where: { $0.utf8.elementsEqual(name.bytes) }) {
                    throw TemplateError(.type, "got multiple values for keyword argument '\(name.string)'")
                }
                arguments.named.append((name, entry.value))
            }
        }
        return arguments
    }

    private func call(_ callee: Value, _ arguments: CallArguments, from address: Int) throws(TemplateError) -> Int? {
        switch callee {
        case .macro(let macro): return try enter(macro, arguments, from: address)
        case .loop(let loop):
            let shape = program.loops[loop.shape]
            if shape.entry == 0 { throw TemplateError(.type, "the loop must have the 'recursive' marker to be called recursively") }
            guard arguments.positional.count == 1, arguments.named.isEmpty else { throw TemplateError(.type, "loop() takes one argument") }
            return try enterLoop(loop.shape, over: arguments.positional[0], depth0: loop.depth0 + 1, scope: loop.scope, from: address)
        default:
            push(try invoke(callee, arguments))
            return nil
        }
    }

    private func push(_ frame: Frame) throws(TemplateError) {
        if frames.count >= TemplateLimits.callDepth {
            throw TemplateError(.budget, "calls are nested deeper than \(TemplateLimits.callDepth)")
        }
        frames.append(frame)
        outputs.append(TextBuilder())
    }

    private func enterLoop(_ shape: Int, over value: Value, depth0: Int, scope around: Scope, from address: Int) throws(TemplateError)
        -> Int
    {
        try push(Frame(address: address, scope: scope, given: []))
        push(value)
        scope = around
        pendingDepth = depth0
        return program.loops[shape].entry
    }

    private func enter(_ macro: Macro, _ arguments: CallArguments, from address: Int) throws(TemplateError) -> Int {
        let shape = program.macros[macro.shape]
        let inner = Scope(parent: macro.scope)
        var named = arguments.named
        func take(_ name: Int) -> Value? {
            let place = named.firstIndex { $0.name.bytes.elementsEqual(program.names[name].utf8) }
            return place.map { named.remove(at: $0).value }
        }
        var given = [Bool](repeating: false, count: shape.parameters.count)
        var hasOwnCaller = false
        for (index, name) in shape.parameters.enumerated() {
            let isCaller = program.names[name] == "caller"
            if index < arguments.positional.count {
                given[index] = true
                inner[name] = arguments.positional[index]
                if isCaller, arguments.positional.count >= shape.parameters.count { hasOwnCaller = true }
            } else {
                if isCaller { hasOwnCaller = true }
                if let value = take(name) {
                    given[index] = true
                    inner[name] = value
                }
            }
        }
        if shape.usesCaller, !hasOwnCaller, let name = program.names.firstIndex(of: "caller") {
            inner[name] = take(name) ?? .undefined(Missing(.hint("No caller defined")))
        }
        if shape.catchesNamed, let name = program.names.firstIndex(of: "kwargs") {
            inner[name] = .dict(try DictBox(named.map { (.text($0.name), $0.value) }))
        } else if let extra = named.first {
            throw TemplateError(.type, "macro '\(shape.name)' takes no keyword argument '\(extra.name.string)'")
        }
        let surplus = arguments.positional.dropFirst(shape.parameters.count)
        if shape.catchesPositional, let name = program.names.firstIndex(of: "varargs") {
            inner[name] = .tuple(try list(Array(surplus)))
        } else if !surplus.isEmpty {
            throw TemplateError(.type, "macro '\(shape.name)' takes not more than \(shape.parameters.count) argument(s)")
        }
        try push(Frame(address: address, scope: scope, given: given))
        scope = inner
        return shape.entry
    }
}
