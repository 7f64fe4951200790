/// Why a text is not the JSON that LMX reads, and at which byte.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes from the start of the text.
    public let position: Int
    public let problem: String

    public init(at position: Int, _ problem: String) {
        self.position = position
        self.problem = problem
    }

    public var description: String { "byte \(position): \(problem)" }

    /// The same, as a problem of a file.
    public func error(in place: String) -> ModelError {
        ModelError(.malformed, at: place, "byte \(position): \(problem)")
    }
}
