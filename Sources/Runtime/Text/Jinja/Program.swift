/// A compiled template: a list of instructions for a stack machine. The machine never recurses, whatever the template nests.
struct Program: Sendable {
    var instructions: [Instruction] = []
    var lines: [Int32] = []  // of each instruction
    var constants: [ProgramConstant] = []
    var names: [String] = []  // of variables and attributes
    var calls: [CallShape] = []
    var filters: [(name: String, filter: Filter?)] = []
    var tests: [(name: String, test: Test?)] = []
    var loops: [LoopShape] = []
    var macros: [MacroShape] = []
}

enum ProgramConstant: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case text(TemplateText)
}

/// How the arguments of a call lie on the stack: positional, named, `*`, `**`.
struct CallShape: Sendable {
    var positional = 0
    var names: [String] = []
    var hasStar = false
    var hasDoubleStar = false

    var operands: Int { positional + names.count + (hasStar ? 1 : 0) + (hasDoubleStar ? 1 : 0) }
}

struct LoopShape: Sendable {
    /// The body mentions `loop`.
    let bindsLoop: Bool
    /// For a recursive loop: where its code starts.
    var entry = 0
}

struct MacroShape: Sendable {
    let name: String
    let parameters: [Int]  // names
    let hasInitial: [Bool]
    /// The variables that catch what the parameters don't.
    let catchesPositional: Bool
    let catchesNamed: Bool
    let usesCaller: Bool
    var entry = 0
}

enum Instruction: Sendable {
    // output
    case text(Int)
    case print
    case printText  // what a filter block made: must be text
    case beginCapture
    case endCapture
    case dropCapture

    // values
    case constant(Int)
    case load(Int)
    case store(Int)
    case checkNamespace(Int)
    case storeAttribute(of: Int, Int)
    case unpack(Int)
    case pop
    case elseless  // the value of an inline if without else
    case attribute(Int)
    case item
    case slice
    case list(Int)
    case tuple(Int)
    case dict(Int)

    // operators
    case arithmetic(ArithmeticOperator)
    case compare(ComparisonOperator)
    case compareOn(ComparisonOperator, Int)  // of a chain: jumps with false, or goes on with the right operand
    case concatenate(Int)
    case not
    case negate
    case plus

    // calls
    case call(Int)
    case filter(Int, Int)
    case test(Int, Int)
    case makeMacro(Int)
    case parameter(Int, Int)  // jumps where the parameter with this number was given
    case missingParameter(Int)
    case callLoop(Int)
    case leave  // back from a macro or a recursive loop

    // jumps
    case jump(Int)
    case jumpIfFalse(Int)
    case jumpKeepingFalse(Int)
    case jumpKeepingTrue(Int)

    // scopes and loops
    case openScope
    case closeScope
    case beginLoop(Int)
    case next(Int)  // jumps where there is no next item
    case accept  // the item has passed the loop's test
    case again(Int)
    case endLoop(Int)  // jumps where the loop ran
    case beginFilter
    case keep  // adds the item to the filtered ones
    case endFilter
    case halt
}
