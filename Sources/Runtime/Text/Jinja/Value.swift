/// A value of the template language. Lists and dictionaries never change once made, as in Jinja's immutable sandbox.
enum Value {
    case undefined(Missing)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case text(TemplateText)
    case list(ListBox)
    case tuple(ListBox)
    case dict(DictBox)
    case view(DictView)
    case range(RangeBox)
    case slice(SliceBox)
    case generator(Generator)
    case namespace(Namespace)
    case loop(Loop)
    case macro(Macro)
    case function(GlobalFunction)
    case method(BoundMethod)
    case cycler(Cycler)
    case joiner(Joiner)

    static func string(_ text: String) -> Value { .text(TemplateText(text)) }

    /// Name of the Python type, for messages.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .text(let text): text.isMarkup ? "Markup" : "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dict: "dict"
        case .view(let view): "dict_" + view.kind.rawValue
        case .range: "range"
        case .slice: "slice"
        case .generator(let generator): generator.typeName
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .function: "function"
        case .method: "builtin_function_or_method"
        case .cycler: "Cycler"
        case .joiner: "Joiner"
        }
    }

    /// How many containers are nested in it. Bounded when a container is made, so that walking a value can recurse.
    var depth: Int {
        switch self {
        case .list(let box), .tuple(let box): box.depth
        case .dict(let box): box.depth
        case .view(let view): view.dict.depth
        case .generator(let generator): generator.depth
        case .method(let method): method.depth
        case .cycler(let cycler): cycler.depth
        case .joiner(let joiner): joiner.separator.depth + 1
        case .slice(let slice): slice.depth
        default: 0
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let box), .tuple(let box): !box.items.isEmpty
        case .dict(let box): !box.entries.isEmpty
        case .view(let view): !view.dict.entries.isEmpty
        case .range(let range): range.count > 0
        case .loop(let loop): !loop.isEmpty
        default: true
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// The integer a number-like value stands for where Python asks for an index: ints and bools.
    var index: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }
}

/// Something that isn't there, and how it was asked for.
final class Missing {
    enum Request {
        case name(String)
        case attribute(owner: String, String)
        case element(owner: String, String)
        case hint(String)
    }

    let request: Request
    init(_ request: Request) { self.request = request }

    var message: String {
        switch request {
        case .name(let name): "'\(name)' is undefined"
        case .attribute(let owner, let name): "'\(owner)' has no attribute '\(name)'"
        case .element(let owner, let key): "\(owner) has no element \(key)"
        case .hint(let text): text
        }
    }

    var error: TemplateError { TemplateError(.undefined, message) }
}

/// The items of a list or tuple.
final class ListBox {
    let items: [Value]
    let depth: Int
    /// A pair made by `groupby`, whose parts have names: `grouper` and `list`.
    let isGroup: Bool

    init(_ items: [Value], isGroup: Bool = false) throws(TemplateError) {
        if items.count > TemplateLimits.listElements { throw TemplateLimits.tooLarge }
        var depth = 0
        for item in items { depth = max(depth, item.depth) }
        if depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        self.items = items
        self.depth = depth + 1
        self.isGroup = isGroup
    }
}

/// What makes two dictionary keys the same key: 1, 1.0 and true are.
enum DictKey: Hashable {
    case none
    case int(Int)
    case float(UInt64)
    case text([UInt8])
    case tuple([DictKey])
    case undefined
    case object(ObjectIdentifier)
    case function(GlobalFunction)
}

extension Value {
    func key() throws(TemplateError) -> DictKey {
        var parts = 0
        return try key(&parts)
    }

    /// A tuple may share its parts and so be far larger than it looks: `parts` bounds the walk.
    private func key(_ parts: inout Int) throws(TemplateError) -> DictKey {
        parts += 1
        if parts > 10_000 { throw TemplateLimits.tooLarge }
        switch self {
        case .none: return .none
        case .undefined: return .undefined
        case .bool(let value): return .int(value ? 1 : 0)
        case .int(let value): return .int(value)
        case .float(let value):
            if let whole = Int(exactly: value) { return .int(whole) }
            return .float(value.bitPattern)
        case .text(let text): return .text(text.bytes)
        case .tuple(let box):
            var keys: [DictKey] = []
            for item in box.items { keys.append(try item.key(&parts)) }
            return .tuple(keys)
        case .range(let box): return .object(ObjectIdentifier(box))
        case .generator(let box): return .object(ObjectIdentifier(box))
        case .namespace(let box): return .object(ObjectIdentifier(box))
        case .macro(let box): return .object(ObjectIdentifier(box))
        case .cycler(let box): return .object(ObjectIdentifier(box))
        case .joiner(let box): return .object(ObjectIdentifier(box))
        case .loop(let box): return .object(ObjectIdentifier(box))
        case .method(let box): return .object(ObjectIdentifier(box))
        case .function(let function): return .function(function)
        case .list, .dict, .view, .slice: throw TemplateError(.type, "unhashable type: '\(typeName)'")
        }
    }
}

/// The entries of a dictionary in the order of their first appearance.
final class DictBox {
    struct Entry {
        let key: Value
        var value: Value
        let identity: DictKey
    }

    let entries: [Entry]
    let depth: Int
    private let places: [DictKey: Int]  // empty while the entries are few

    init(_ pairs: [(key: Value, value: Value)]) throws(TemplateError) {
        if pairs.count > TemplateLimits.listElements / 2 { throw TemplateLimits.tooLarge }
        var entries: [Entry] = []
        entries.reserveCapacity(pairs.count)
        var places: [DictKey: Int] = [:]
        var depth = 0
        let isLarge = pairs.count > 8
        for (key, value) in pairs {
            depth = max(depth, key.depth, value.depth)
            let identity = try key.key()
            let place = isLarge ? places[identity] : entries.firstIndex { $0.identity == identity }
            if let place {
                entries[place].value = value
            } else {
                if isLarge { places[identity] = entries.count }
                entries.append(Entry(key: key, value: value, identity: identity))
            }
        }
        if depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        self.entries = entries
        self.places = places
        self.depth = depth + 1
    }

    subscript(identity: DictKey) -> Value? {
        if !places.isEmpty { return places[identity].map { entries[$0].value } }
        return entries.first { $0.identity == identity }?.value
    }

    subscript(name: String) -> Value? { self[.text(Array(name.utf8))] }
}

/// `keys()`, `values()` or `items()` of a dictionary.
final class DictView {
    enum Kind: String { case keys, values, items }
    let dict: DictBox
    let kind: Kind

    init(_ dict: DictBox, _ kind: Kind) {
        self.dict = dict
        self.kind = kind
    }
}

/// `range(start, stop, step)`, never spelled out.
final class RangeBox {
    let start: Int
    let stop: Int
    let step: Int
    let count: Int

    init(start: Int, stop: Int, step: Int) throws(TemplateError) {
        guard step != 0 else { throw TemplateError(.type, "range() arg 3 must not be zero") }
        let (distance, overflow) = step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
        let size = step > 0 ? step.magnitude : step.magnitude
        let count = distance <= 0 && !overflow ? 0 : (UInt(bitPattern: distance) - 1) / size + 1
        if (overflow && (step > 0 ? stop > start : start > stop)) || count > UInt(TemplateLimits.rangeElements) {
            throw TemplateError(.budget, "range has more than \(TemplateLimits.rangeElements) elements")
        }
        self.start = start
        self.stop = stop
        self.step = step
        self.count = overflow ? 0 : Int(count)
    }

    /// The element with a number below `count`: between start and stop, so it cannot overflow.
    subscript(index: Int) -> Int { start &+ index &* step }
}

/// `start:stop:step` inside brackets.
final class SliceBox {
    let start: Value
    let stop: Value
    let step: Value

    init(start: Value, stop: Value, step: Value) throws(TemplateError) {
        self.start = start
        self.stop = stop
        self.step = step
        if depth > TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
    }

    var depth: Int { max(start.depth, stop.depth, step.depth) + 1 }
}

/// Values that are made one at a time and can be walked once: what `map` and `select` give.
final class Generator {
    let typeName: String
    let depth: Int
    private let budget: Budget
    private var pull: (() throws(TemplateError) -> Value?)?

    /// `source` is what the values are drawn from: it counts as nested in the generator.
    init(
        _ typeName: String = "generator", over source: Value, _ budget: Budget,
        _ pull: @escaping () throws(TemplateError) -> Value?
    ) throws(TemplateError) {
        if source.depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        self.typeName = typeName
        self.depth = source.depth + 1
        self.budget = budget
        self.pull = pull
    }

    func next() throws(TemplateError) -> Value? {
        guard let pull else { return nil }
        budget.pulls += 1
        defer { budget.pulls -= 1 }
        if budget.pulls > TemplateLimits.generatorDepth {
            throw TemplateError(.budget, "generators are nested deeper than \(TemplateLimits.generatorDepth)")
        }
        try budget.charge(1)
        if let value = try pull() { return value }
        self.pull = nil
        return nil
    }
}

/// `namespace(…)`: the one thing whose attributes a template may set.
final class Namespace {
    private(set) var attributes: [(name: TemplateText, value: Value)] = []
    private var places: [[UInt8]: Int] = [:]

    subscript(name: [UInt8]) -> Value? { places[name].map { attributes[$0].value } }

    func set(_ name: TemplateText, _ value: Value) throws(TemplateError) {
        if name.bytes.first == UInt8(ascii: "_") {
            throw TemplateError(.type, "a namespace attribute may not start with an underscore")
        }
        if let place = places[name.bytes] {
            attributes[place].value = value
        } else {
            places[name.bytes] = attributes.count
            attributes.append((name, value))
        }
    }

    func clear() { attributes = [] }
}

/// A method of a value, not yet called.
final class BoundMethod {
    let receiver: Value
    let name: String
    var depth: Int { receiver.depth + 1 }

    init(_ receiver: Value, _ name: String) throws(TemplateError) {
        if receiver.depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        self.receiver = receiver
        self.name = name
    }
}

/// `cycler(…)`: gives its items in turn, for ever.
final class Cycler {
    let items: [Value]
    let depth: Int
    var position = 0

    init(_ box: ListBox) {
        items = box.items
        depth = box.depth
    }
}

/// `joiner(…)`: nothing the first time, its separator from then on.
final class Joiner {
    let separator: Value
    var isUsed = false

    init(_ separator: Value) throws(TemplateError) {
        if separator.depth >= TemplateLimits.valueDepth { throw TemplateLimits.tooDeep }
        self.separator = separator
    }
}

/// The functions that every template can call by name.
enum GlobalFunction: String, CaseIterable {
    case range, dict, namespace, cycler, joiner, lipsum
    case raiseException = "raise_exception"
    case now = "strftime_now"
    case fromKeys = "fromkeys"
}
