/// A stretch of a prompt and who wrote it: the template, whose control tokens count, or a user, whose text is only text.
public struct TextSegment: Sendable, Equatable {
    public var text: String
    public var isUserText: Bool

    public init(text: String, isUserText: Bool) {
        self.text = text
        self.isUserText = isUserText
    }
}
