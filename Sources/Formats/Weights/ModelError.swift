/// What is wrong with a model file, in one line: where, what, and what to do.
///
/// Printed as `WHERE: WHAT (HINT)`. Text that comes from a file is to be passed through ``quoted(_:)`` first.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The class of a problem. Its raw value is the stable code that scripts and clients branch on.
    public enum Kind: String, Sendable, CaseIterable {
        case unreadable  // the operating system refuses, or nothing is there
        case unrecognised  // no format claims these bytes
        case truncated  // the file ends before what its header promises
        case malformed  // the bytes break the rules of their format
        case outOfRange = "out_of_range"  // a number breaks a limit
        case missing  // a tensor, key or file that the model needs
        case mismatched  // two statements of one file contradict each other
        case unsupported  // valid, but LMX does not run it
        case insufficientMemory = "insufficient_memory"
    }

    public let kind: Kind
    public let place: String
    public let problem: String
    public let hint: String?

    public init(_ kind: Kind, at place: String, _ problem: String, hint: String? = nil) {
        self.kind = kind
        self.place = place
        self.problem = problem
        self.hint = hint
    }

    public var code: String { kind.rawValue }

    public var description: String {
        if let hint { "\(place): \(problem) (\(hint))" } else { "\(place): \(problem)" }
    }

    /// Text from a file, fit for a message: quoted, control characters and invalid UTF-8 escaped, cut at 256 bytes.
    public static func quoted(_ bytes: some Collection<UInt8>) -> String {
        var text = "\""
        for byte in bytes.prefix(256) {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7F: text += String(UnicodeScalar(byte))
            default: text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return text + (bytes.count > 256 ? "…\"" : "\"")
    }

    public static func quoted(_ text: String) -> String { quoted(Array(text.utf8)) }
}
