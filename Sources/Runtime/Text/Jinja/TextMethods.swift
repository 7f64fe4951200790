/// Python's string methods.
extension Machine {
    private static let takingNames: Set<String> = ["split", "rsplit", "splitlines", "expandtabs", "format", "encode"]

    func invoke(_ name: String, on text: TemplateText, _ arguments: CallArguments) throws(TemplateError) -> Value {
        if let extra = arguments.named.first, !Self.takingNames.contains(name) {
            throw TemplateError(.type, "str.\(name)() takes no keyword arguments (got '\(extra.name.string)')")
        }
        func parameters(_ names: String...) throws(TemplateError) -> Parameters { try Parameters(arguments, names, of: name) }
        func nothing() throws(TemplateError) { _ = try Parameters(arguments, [], of: name) }
        switch name {
        case "upper":
            try nothing()
            return .text(try text.uppercased())
        case "lower":
            try nothing()
            return .text(try text.lowercased())
        case "casefold":
            try nothing()
            return .text(try text.caseFolded())
        case "title":
            try nothing()
            return .text(try text.titled())
        case "capitalize":
            try nothing()
            return .text(try text.capitalized())
        case "swapcase":
            try nothing()
            return .text(try text.caseSwapped())
        case "strip", "lstrip", "rstrip":
            let characters = try optionalText(try parameters("chars"), 0)
            return .text(text.stripped(characters, left: name != "rstrip", right: name != "lstrip"))
        case "split", "rsplit":
            let arguments = try parameters("sep", "maxsplit")
            let parts = try text.split(
                try optionalText(arguments, 0), limit: try arguments.integer(1, else: -1), fromRight: name == "rsplit")
            return .list(try list(parts.map { .text($0) }))
        case "splitlines":
            return .list(try list(try text.lines(keepsEnds: try parameters("keepends").isTrue(0)).map { .text($0) }))
        case "partition", "rpartition":
            let separator = try parameters("sep").text(0)
            if separator.isEmpty { throw TemplateError(.type, "empty separator") }
            let search = ByteSearch(separator.bytes, backward: name == "rpartition")
            let place = search.place(in: text.bytes, from: 0, to: text.bytes.count)
            guard let place else {
                let parts: [TemplateText] = name == "partition" ? [text, .empty, .empty] : [.empty, .empty, text]
                return .tuple(try list(parts.map { .text($0) }))
            }
            let end = place + separator.bytes.count
            return .tuple(try list([.text(text[0..<place]), .text(separator), .text(text[end..<text.bytes.count])]))
        case "startswith", "endswith": return .bool(try hasAffix(text, try parameters("prefix", "start", "end"), atEnd: name == "endswith"))
        case "removeprefix":
            let prefix = try parameters("prefix").text(0)
            return .text(UTF8Bytes.matches(prefix.bytes, in: text.bytes, at: 0) ? text[prefix.bytes.count..<text.bytes.count] : text)
        case "removesuffix":
            let suffix = try parameters("suffix").text(0)
            let end = text.bytes.count - suffix.bytes.count
            return .text(UTF8Bytes.matches(suffix.bytes, in: text.bytes, at: end) ? text[0..<end] : text)
        case "replace":
            let arguments = try parameters("old", "new", "count")
            let new = try arguments.text(1)
            return .text(
                try text.replacing(
                    try arguments.text(0), with: text.isMarkup ? try new.escaped() : new, limit: try arguments.integer(2, else: -1)))
        case "join":
            var builder = TextBuilder(isMarkup: text.isMarkup)
            let items = try Items(try parameters("iterable").required(0))
            var count = 0
            while let item = try items.next() {
                guard case .text(let part) = item else {
                    throw TemplateError(.type, "sequence item \(count): expected str instance, \(item.typeName) found")
                }
                if count > 0 { try builder.append(text) }
                try builder.append(text.isMarkup ? try part.escaped() : part)
                count += 1
            }
            return .text(builder.finish())
        case "find", "rfind", "index", "rindex", "count": return .int(try search(name, text, try parameters("sub", "start", "end")))
        case "center", "ljust", "rjust":
            let arguments = try parameters("width", "fillchar")
            let fill = try arguments.text(1, else: TemplateText(" "))
            if fill.count != 1 { throw TemplateError(.type, "the fill character must be exactly one character long") }
            return .text(
                try text.padded(to: try arguments.integer(0), with: fill, name == "center" ? .center : name == "ljust" ? .right : .left))
        case "zfill":
            let width = try parameters("width").integer(0)
            let hasSign = text.bytes.first == UInt8(ascii: "-") || text.bytes.first == UInt8(ascii: "+")
            var builder = TextBuilder(isMarkup: text.isMarkup)
            if hasSign { try builder.append(text, 0..<1) }
            try builder.append(TemplateText("0"), times: width > text.count ? width - text.count : 0)
            try builder.append(text, (hasSign ? 1 : 0)..<text.bytes.count)
            return .text(builder.finish())
        case "expandtabs": return .text(try text.expandingTabs(try parameters("tabsize").integer(0, else: 8)))
        case "format": return .text(try braceFormat(text, arguments))
        case "format_map":
            guard case .dict(let dict) = try parameters("mapping").required(0) else {
                throw TemplateError(.type, "format_map() needs a mapping")
            }
            var named = CallArguments()
            for entry in dict.entries { if case .text(let key) = entry.key { named.named.append((key, entry.value)) } }
            return .text(try braceFormat(text, named))
        case "encode", "translate", "maketrans": throw TemplateError(.unsupported, "str.\(name)() is not available in a chat template")
        default:
            try nothing()
            return .bool(text.satisfies(name))
        }
    }

    private func optionalText(_ parameters: Parameters, _ index: Int) throws(TemplateError) -> TemplateText? {
        parameters.given(index) == nil ? nil : try parameters.text(index)
    }

    /// The bytes between two code points given as Python gives them; nil where the start lies behind the end.
    private func bounds(_ text: TemplateText, _ parameters: Parameters) throws(TemplateError) -> Range<Int>? {
        if parameters.given(1) == nil, parameters.given(2) == nil { return 0..<text.bytes.count }
        let count = text.count
        func clamp(_ index: Int) -> Int { index < 0 ? max(0, index &+ count) : index }
        let start = parameters.given(1) == nil ? 0 : clamp(try parameters.integer(1))
        let end = parameters.given(2) == nil ? count : min(clamp(try parameters.integer(2)), count)
        return start <= end ? text.offset(of: start)..<text.offset(of: end) : nil
    }

    private func hasAffix(_ text: TemplateText, _ parameters: Parameters, atEnd: Bool) throws(TemplateError) -> Bool {
        let wanted = try parameters.required(0)
        let candidates: [Value]
        switch wanted {
        case .text: candidates = [wanted]
        case .tuple(let box): candidates = box.items
        case .undefined(let missing): throw missing.error
        default:
            throw TemplateError(
                .type, "\(atEnd ? "endswith" : "startswith") first arg must be str or a tuple of str, not \(wanted.typeName)")
        }
        let range = try bounds(text, parameters)
        for candidate in candidates {
            guard case .text(let affix) = candidate else {
                throw TemplateError(.type, "tuple for startswith must only contain str, not \(candidate.typeName)")
            }
            guard let range, affix.bytes.count <= range.count else { continue }
            if UTF8Bytes.matches(affix.bytes, in: text.bytes, at: atEnd ? range.upperBound - affix.bytes.count : range.lowerBound) {
                return true
            }
        }
        return false
    }

    private func search(_ name: String, _ text: TemplateText, _ parameters: Parameters) throws(TemplateError) -> Int {
        let part = try parameters.text(0)
        guard let range = try bounds(text, parameters) else {
            if name == "index" || name == "rindex" { throw TemplateError(.type, "substring not found") }
            return name == "count" ? 0 : -1
        }
        if name == "count" {
            if part.isEmpty { return UTF8Bytes.count(Array(text.bytes[range])) + 1 }
            var count = 0
            var start = range.lowerBound
            let search = ByteSearch(part.bytes)
            while let place = search.place(in: text.bytes, from: start, to: range.upperBound) {
                count += 1
                start = place + part.bytes.count
            }
            return count
        }
        let search = ByteSearch(part.bytes, backward: name.utf8.first == UInt8(ascii: "r"))
        let place = search.place(in: text.bytes, from: range.lowerBound, to: range.upperBound)
        if let place { return UTF8Bytes.count(Array(text.bytes[..<place])) }
        if name == "index" || name == "rindex" { throw TemplateError(.type, "substring not found") }
        return -1
    }
}

extension TemplateText {
    enum Side { case left, right, center }

    /// Without space, or without the given characters, at its ends.
    func stripped(_ characters: TemplateText? = nil, left: Bool = true, right: Bool = true) -> TemplateText {
        let set = characters.map { Set($0.scalars) }
        func drops(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var start = 0
        var end = bytes.count
        if left {
            while start < end, drops(UTF8Bytes.scalar(at: start, in: bytes)) { start += UTF8Bytes.width(bytes[start]) }
        }
        if right {
            while end > start {
                let last = UTF8Bytes.start(before: end, in: bytes)
                guard drops(UTF8Bytes.scalar(at: last, in: bytes)) else { break }
                end = last
            }
        }
        return self[start..<end]
    }

    /// Parts between separators (runs of space where none is given), at most `limit` cuts unless that is negative.
    func split(_ separator: TemplateText?, limit: Int, fromRight: Bool) throws(TemplateError) -> [TemplateText] {
        guard let separator else { return fromRight ? try splitAtSpaceFromRight(limit) : try splitAtSpace(limit) }
        if separator.isEmpty { throw TemplateError(.type, "empty separator") }
        let size = separator.bytes.count
        let search = ByteSearch(separator.bytes, backward: fromRight)
        var parts: [TemplateText] = []
        if fromRight {
            var end = bytes.count
            while limit < 0 || parts.count < limit, let place = search.place(in: bytes, from: 0, to: end) {
                try Self.checkCount(parts)
                parts.append(self[place + size..<end])
                end = place
            }
            parts.append(self[0..<end])
            return parts.reversed()
        }
        var start = 0
        while limit < 0 || parts.count < limit, let place = search.place(in: bytes, from: start, to: bytes.count) {
            try Self.checkCount(parts)
            parts.append(self[start..<place])
            start = place + size
        }
        parts.append(self[start..<bytes.count])
        return parts
    }

    private static func checkCount(_ parts: [TemplateText]) throws(TemplateError) {
        if parts.count >= TemplateLimits.listElements { throw TemplateLimits.tooLarge }
    }

    private func splitAtSpace(_ limit: Int) throws(TemplateError) -> [TemplateText] {
        var parts: [TemplateText] = []
        var index = 0
        while true {
            try Self.checkCount(parts)
            while index < bytes.count, UTF8Bytes.scalar(at: index, in: bytes).isPythonSpace { index += UTF8Bytes.width(bytes[index]) }
            guard index < bytes.count else { return parts }
            if limit >= 0, parts.count >= limit {
                parts.append(self[index..<bytes.count])
                return parts
            }
            let start = index
            while index < bytes.count, !UTF8Bytes.scalar(at: index, in: bytes).isPythonSpace { index += UTF8Bytes.width(bytes[index]) }
            parts.append(self[start..<index])
        }
    }

    private func splitAtSpaceFromRight(_ limit: Int) throws(TemplateError) -> [TemplateText] {
        var parts: [TemplateText] = []
        var end = bytes.count
        func before(_ end: Int) -> Unicode.Scalar { UTF8Bytes.scalar(at: UTF8Bytes.start(before: end, in: bytes), in: bytes) }
        while true {
            try Self.checkCount(parts)
            while end > 0, before(end).isPythonSpace { end = UTF8Bytes.start(before: end, in: bytes) }
            guard end > 0 else { return parts.reversed() }
            if limit >= 0, parts.count >= limit {
                parts.append(self[0..<end])
                return parts.reversed()
            }
            var start = end
            while start > 0, !before(start).isPythonSpace { start = UTF8Bytes.start(before: start, in: bytes) }
            parts.append(self[start..<end])
            end = start
        }
    }

    func lines(keepsEnds: Bool = false) throws(TemplateError) -> [TemplateText] {
        var lines: [TemplateText] = []
        var start = 0
        var index = 0
        while index < bytes.count {
            let scalar = UTF8Bytes.scalar(at: index, in: bytes)
            var end = index + UTF8Bytes.width(bytes[index])
            if scalar.isLineEnd {
                try Self.checkCount(lines)
                if scalar == "\r", end < bytes.count, bytes[end] == UInt8(ascii: "\n") { end += 1 }
                lines.append(self[start..<(keepsEnds ? end : index)])
                start = end
            }
            index = end
        }
        if start < bytes.count { lines.append(self[start..<bytes.count]) }
        return lines
    }

    func replacing(_ old: TemplateText, with new: TemplateText, limit: Int) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder(isMarkup: isMarkup)
        var start = 0
        var count = 0
        if old.isEmpty {
            while limit < 0 || count < limit {
                try builder.append(new)
                count += 1
                guard start < bytes.count else { break }
                let end = start + UTF8Bytes.width(bytes[start])
                try builder.append(self, start..<end)
                start = end
            }
        } else {
            let search = ByteSearch(old.bytes)
            while limit < 0 || count < limit, let place = search.place(in: bytes, from: start, to: bytes.count) {
                try builder.append(self, start..<place)
                try builder.append(new)
                start = place + old.bytes.count
                count += 1
            }
        }
        try builder.append(self, start..<bytes.count)
        return builder.finish()
    }

    /// Filled up to `width` code points on the given side.
    func padded(to width: Int, with fill: TemplateText, _ side: Side) throws(TemplateError) -> TemplateText {
        let count = self.count
        guard width > count else { return self }
        let missing = width - count
        let left = side == .left ? missing : side == .right ? 0 : missing / 2 + (missing & width & 1)
        var builder = TextBuilder(isMarkup: isMarkup)
        try builder.append(fill, times: left)
        try builder.append(self)
        try builder.append(fill, times: missing - left)
        return builder.finish()
    }

    func expandingTabs(_ size: Int) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder(isMarkup: isMarkup)
        var column = 0
        var index = 0
        while index < bytes.count {
            let end = index + UTF8Bytes.width(bytes[index])
            switch bytes[index] {
            case UInt8(ascii: "\t"):
                if size > 0 {
                    let width = size - column % size
                    try builder.append(TemplateText(" ", isUser: isUser(at: index)), times: width)
                    column += width
                }
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                try builder.append(self, index..<end)
                column = 0
            default:
                try builder.append(self, index..<end)
                column += 1
            }
            index = end
        }
        return builder.finish()
    }

    /// `isalpha` and its relatives.
    func satisfies(_ name: String) -> Bool {
        func all(_ test: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && scalars.allSatisfy(test) }
        switch name {
        case "isascii": return bytes.allSatisfy { $0 < 0x80 }
        case "isprintable": return scalars.allSatisfy(\.isPrintable)
        case "isalpha": return all(\.isLetter)
        case "isalnum": return all(\.isAlphanumeric)
        case "isdecimal": return all(\.isDecimalDigit)
        case "isdigit": return all(\.isDigit)
        case "isnumeric": return all(\.isNumeric)
        case "isspace": return all(\.isPythonSpace)
        case "isidentifier":
            guard let first = scalars.first, first == "_" || first.properties.isXIDStart else { return false }
            return scalars.dropFirst().allSatisfy { $0.properties.isXIDContinue }
        case "islower", "isupper":
            var hasCased = false
            for scalar in scalars {
                if name == "islower" ? scalar.properties.isUppercase : scalar.properties.isLowercase { return false }
                if scalar.isTitlecase { return false }
                if name == "islower" ? scalar.properties.isLowercase : scalar.properties.isUppercase { hasCased = true }
            }
            return hasCased
        case "istitle":
            var hasCased = false
            var afterCased = false
            for scalar in scalars {
                if scalar.properties.isUppercase || scalar.isTitlecase {
                    if afterCased { return false }
                    afterCased = true
                    hasCased = true
                } else if scalar.properties.isLowercase {
                    if !afterCased { return false }
                    hasCased = true
                } else {
                    afterCased = false
                }
            }
            return hasCased
        default: return false
        }
    }
}
