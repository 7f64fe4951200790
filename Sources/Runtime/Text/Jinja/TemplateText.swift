/// A string inside a template: UTF-8 bytes, and for each whether it came from the user or from the template.
///
/// Counted, cut and compared by code point like a Python string, never by grapheme.
struct TemplateText: Sendable {
    enum Origin: Sendable {
        case template
        case user
        case mixed([Bool])  // one per byte: is it user text?
    }

    var bytes: [UInt8]
    var origin: Origin
    /// Marked as HTML by `safe` or `escape`: what is added to it gets escaped, as Python's Markup does.
    var isMarkup = false

    init(bytes: [UInt8], origin: Origin, isMarkup: Bool = false) {
        self.bytes = bytes
        self.origin = origin
        self.isMarkup = isMarkup
    }

    init(_ string: String, isUser: Bool = false) {
        bytes = Array(string.utf8)
        origin = isUser ? .user : .template
    }

    static let empty = TemplateText(bytes: [], origin: .template)

    var isEmpty: Bool { bytes.isEmpty }
    var string: String { String(decoding: bytes, as: UTF8.self) }
    /// The number of code points.
    var count: Int { UTF8Bytes.count(bytes) }

    var hasUserText: Bool {
        switch origin {
        case .template: false
        case .user: !bytes.isEmpty
        case .mixed(let flags): flags.contains(true)
        }
    }

    func isUser(at index: Int) -> Bool {
        switch origin {
        case .template: false
        case .user: true
        case .mixed(let flags): flags[index]
        }
    }

    /// The bytes of a range, which starts and ends between code points.
    subscript(range: Range<Int>) -> TemplateText {
        if range.count == bytes.count { return self }
        let part = Array(bytes[range])
        guard case .mixed(let flags) = origin else { return TemplateText(bytes: part, origin: origin, isMarkup: isMarkup) }
        let marks = flags[range]
        guard let first = marks.first else { return TemplateText(bytes: part, origin: .template, isMarkup: isMarkup) }
        let mixed = marks.contains { $0 != first }
        return TemplateText(bytes: part, origin: mixed ? .mixed(Array(marks)) : first ? .user : .template, isMarkup: isMarkup)
    }

    /// The same characters, all of the origin of the whole: user text if any of it is.
    func coarse(_ text: String) -> TemplateText {
        TemplateText(bytes: Array(text.utf8), origin: hasUserText ? .user : .template, isMarkup: isMarkup)
    }

    func markup(_ flag: Bool) -> TemplateText { TemplateText(bytes: bytes, origin: origin, isMarkup: flag) }

    /// Byte offset of the code point with number `index` ≤ count.
    func offset(of index: Int) -> Int { UTF8Bytes.offset(of: index, in: bytes) }

    var scalars: String.UnicodeScalarView { string.unicodeScalars }
}

/// Code points in valid UTF-8 bytes.
enum UTF8Bytes {
    static func width(_ lead: UInt8) -> Int { lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4 }

    static func count(_ bytes: [UInt8]) -> Int {
        var count = 0
        for byte in bytes where byte & 0xC0 != 0x80 { count &+= 1 }
        return count
    }

    static func offset(of index: Int, in bytes: [UInt8]) -> Int {
        var offset = 0
        var left = index
        while left > 0, offset < bytes.count {
            offset += width(bytes[offset])
            left -= 1
        }
        return min(offset, bytes.count)
    }

    /// The code point that starts at `offset`; the replacement character where the bytes end early.
    static func scalar(at offset: Int, in bytes: [UInt8]) -> Unicode.Scalar {
        let lead = UInt32(bytes[offset])
        let size = width(bytes[offset])
        guard size > 1 else { return Unicode.Scalar(bytes[offset]) }
        guard offset + size <= bytes.count else { return "\u{FFFD}" }
        var value = lead & (size == 2 ? 0x1F : size == 3 ? 0x0F : 0x07)
        for index in offset + 1..<offset + size { value = value << 6 | UInt32(bytes[index] & 0x3F) }
        return Unicode.Scalar(value) ?? "\u{FFFD}"
    }

    /// Where the code point that ends before `end` starts.
    static func start(before end: Int, in bytes: [UInt8]) -> Int {
        var index = end - 1
        while index > 0, bytes[index] & 0xC0 == 0x80 { index -= 1 }
        return index
    }

    static func matches(_ needle: [UInt8], in bytes: [UInt8], at place: Int) -> Bool {
        guard place >= 0, place + needle.count <= bytes.count else { return false }
        for index in needle.indices where bytes[place + index] != needle[index] { return false }
        return true
    }
}

/// Builds a text piece by piece, within the size that a value may have.
struct TextBuilder {
    private(set) var bytes: [UInt8] = []
    /// Neighbouring runs differ in origin; the last one ends where the bytes end.
    private var runs: [(end: Int, isUser: Bool)] = []
    var isMarkup = false

    init(isMarkup: Bool = false) { self.isMarkup = isMarkup }

    var count: Int { bytes.count }

    mutating func append(_ text: TemplateText) throws(TemplateError) {
        try append(text, text.bytes.indices)
    }

    mutating func append(_ text: TemplateText, _ range: Range<Int>) throws(TemplateError) {
        guard !range.isEmpty else { return }
        try reserve(range.count)
        let base = bytes.count - range.lowerBound
        bytes.append(contentsOf: text.bytes[range])
        switch text.origin {
        case .template: mark(upTo: bytes.count, isUser: false)
        case .user: mark(upTo: bytes.count, isUser: true)
        case .mixed(let flags):
            for index in range { mark(upTo: base + index + 1, isUser: flags[index]) }
        }
    }

    mutating func append(_ string: String, isUser: Bool = false) throws(TemplateError) {
        let start = bytes.count
        try reserve(string.utf8.count)
        bytes.append(contentsOf: string.utf8)
        if bytes.count > start { mark(upTo: bytes.count, isUser: isUser) }
    }

    mutating func append(_ scalar: Unicode.Scalar, isUser: Bool) throws(TemplateError) {
        try reserve(4)
        bytes.append(contentsOf: Unicode.UTF8.encode(scalar) ?? Unicode.UTF8.encodedReplacementCharacter)
        mark(upTo: bytes.count, isUser: isUser)
    }

    /// `count` copies of a text; a negative count is none.
    mutating func append(_ text: TemplateText, times count: Int) throws(TemplateError) {
        guard count > 0, !text.isEmpty else { return }
        let (total, overflow) = text.bytes.count.multipliedReportingOverflow(by: count)
        if overflow { throw TemplateLimits.tooLarge }
        try reserve(total)
        // Grows by doubling: many copies of a short text are few copies of a long one.
        var block = TextBuilder()
        try block.append(text)
        var left = count
        while left > 0 {
            let unit = block.finish()
            if left & 1 == 1 { try append(unit) }
            left >>= 1
            if left > 0 { try block.append(unit) }
        }
    }

    func finish() -> TemplateText {
        if runs.count <= 1 { return TemplateText(bytes: bytes, origin: runs.first?.isUser == true ? .user : .template, isMarkup: isMarkup) }
        var flags: [Bool] = []
        flags.reserveCapacity(bytes.count)
        for run in runs { flags.append(contentsOf: repeatElement(run.isUser, count: run.end - flags.count)) }
        return TemplateText(bytes: bytes, origin: .mixed(flags), isMarkup: isMarkup)
    }

    /// The text as runs of one origin each.
    func segments() -> [TextSegment] {
        var start = 0
        return runs.map { run in
            defer { start = run.end }
            return TextSegment(text: String(decoding: bytes[start..<run.end], as: UTF8.self), isUserText: run.isUser)
        }
    }

    private func reserve(_ count: Int) throws(TemplateError) {
        if count > TemplateLimits.valueBytes - bytes.count { throw TemplateLimits.tooLarge }
    }

    private mutating func mark(upTo end: Int, isUser: Bool) {
        if let last = runs.last, last.isUser == isUser {
            runs[runs.count - 1].end = end
        } else {
            runs.append((end, isUser))
        }
    }
}
