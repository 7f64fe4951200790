/// The parts of a parsed template. Chains are flat (`a + b + c` is one node), so that depth follows the nesting that is written.
struct Node {
    let line: Int
    let expression: Expression
}

indirect enum Expression {
    case constant(Constant)
    case name(String)
    case list([Node])
    case tuple([Node])
    case dict([(key: Node, value: Node)])
    case signs([Bool], Node)  // unary + (false) and - (true), outermost first
    case not(Node)
    case and([Node])
    case or([Node])
    case concatenation([Node])  // ~
    case arithmetic(Node, [(operation: ArithmeticOperator, operand: Node)])
    case comparison(Node, [(operation: ComparisonOperator, operand: Node)])
    case conditional(test: Node, then: Node, otherwise: Node?)
    case slice(start: Node?, stop: Node?, step: Node?)
    case postfix(Node, [Postfix])
}

enum Constant: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case text(String)
}

enum ArithmeticOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
}

enum ComparisonOperator: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

/// What may follow a value.
struct Postfix {
    enum Kind {
        case attribute(String)
        case item(Node)
        case call(Arguments)
        case filter(String, Arguments)
        case test(String, Arguments, negated: Bool)
    }

    let line: Int
    let kind: Kind
}

struct Arguments {
    var positional: [Node] = []
    var named: [(name: String, value: Node)] = []
    var star: Node?
    var doubleStar: Node?
}

indirect enum Target {
    case name(String)
    case attribute(of: String, String)
    case tuple([Target])
}

struct Statement {
    enum Kind {
        case text(String)
        case print([Node])
        case choice([(test: Node, body: [Statement])], otherwise: [Statement])
        case loop(ForStatement)
        case set(Target, Node)
        case setBlock(Target, [Postfix], [Statement])
        case macro(MacroStatement)
        case call(MacroStatement, Node)
        case filter([Postfix], [Statement])
        case with([(target: Target, value: Node)], [Statement])
        case scope([Statement])  // generation and block
        case breakLoop
        case continueLoop
    }

    let line: Int
    let kind: Kind
}

struct ForStatement {
    let target: Target
    let iterable: Node
    let test: Node?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]
    /// How the body uses the variable `loop`.
    let mentions: Mentions
}

struct MacroStatement {
    let name: String
    let parameters: [(name: String, initial: Node?)]
    let body: [Statement]
    let mentions: Mentions
}

/// Special names that a stretch of template refers to.
struct Mentions: OptionSet {
    let rawValue: Int
    static let loop = Mentions(rawValue: 1)
    /// `loop` is used in a way that may look ahead: then a filtered loop must test all its items first.
    static let loopAhead = Mentions(rawValue: 2)
    static let caller = Mentions(rawValue: 4)
    static let positional = Mentions(rawValue: 8)  // varargs
    static let named = Mentions(rawValue: 16)  // kwargs
}
