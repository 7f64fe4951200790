/// Why a chat template could not be compiled or rendered: kind, line of the template, message.
public struct TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The class of a problem. Its raw value is the stable code that clients branch on.
    public enum Kind: String, Sendable, CaseIterable {
        case syntax  // the source is no template
        case raised  // the template itself refused by raise_exception
        case undefined  // something was asked of a value that isn't there
        case type  // an operation does not fit its operands
        case budget  // steps, depth or size beyond what a template may use
        case unsupported  // valid Jinja that is refused here
    }

    public let kind: Kind
    /// The line of the template, counted from 1; 0 where no line is to blame.
    public internal(set) var line: Int
    /// What is wrong, without the line. For `raised` the template's own words, verbatim.
    public let message: String

    public init(_ kind: Kind, _ message: String, line: Int = 0) {
        self.kind = kind
        self.line = line
        self.message = message
    }

    public var code: String { "template_" + kind.rawValue }

    /// One line, control characters escaped, cut at 256 bytes of message.
    public var description: String {
        var text = line > 0 ? "chat template, line \(line): " : "chat template: "
        var length = 0
        for scalar in message.unicodeScalars {
            length += UTF8.width(scalar)
            if length > 256 { return text + "…" }
            if scalar.value < 0x20 || scalar.value == 0x7F || scalar.value == 0x2028 || scalar.value == 0x2029 {
                text += "\\u{" + String(scalar.value, radix: 16) + "}"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    func at(line: Int) -> TemplateError { self.line > 0 ? self : TemplateError(kind, message, line: line) }
}

/// What a template may use. A template is code from a stranger: everything it does is counted.
enum TemplateLimits {
    static let sourceBytes = 1 << 20
    static let steps = 500_000
    static let parseDepth = 128
    static let compileDepth = 256
    static let callDepth = 64
    static let outputBytes = 4 << 20
    static let valueBytes = 4 << 20
    static let listElements = valueBytes / 16
    static let valueDepth = 128
    static let generatorDepth = 32
    static let rangeElements = 100_000
    /// So many bytes touched cost one step; likewise list elements.
    static let bytesPerStep = 256
    static let elementsPerStep = 16

    static let tooLarge = TemplateError(.budget, "a value grew beyond \(valueBytes) bytes")
    static let tooDeep = TemplateError(.budget, "a value is nested deeper than \(valueDepth)")
    static let overflow = TemplateError(.type, "an integer grew beyond 64 bits")
}
