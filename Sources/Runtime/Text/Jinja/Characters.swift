/// Classes of characters as Python's string methods see them.
extension Unicode.Scalar {
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Where `splitlines` ends a line; a carriage return and a newline together end one.
    var isLineEnd: Bool {
        switch value {
        case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    /// Whether `repr` shows it as it is.
    var isPrintable: Bool {
        if value == 0x20 { return true }
        if isASCII { return value > 0x20 && value < 0x7F }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return false
        default: return true
        }
    }

    var isLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    var isDecimalDigit: Bool { properties.generalCategory == .decimalNumber }
    var isDigit: Bool { properties.numericType == .decimal || properties.numericType == .digit }
    var isNumeric: Bool { properties.numericType != nil }
    var isAlphanumeric: Bool { isLetter || isNumeric }
    var isTitlecase: Bool { properties.generalCategory == .titlecaseLetter }
}

/// Changes of case, run by run, so that the origin of every character stays known.
extension TemplateText {
    private func mapped(_ transform: (Unicode.Scalar, Int) -> String?) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder(isMarkup: isMarkup)
        var index = 0
        while index < bytes.count {
            let scalar = UTF8Bytes.scalar(at: index, in: bytes)
            if let text = transform(scalar, index) {
                try builder.append(text, isUser: isUser(at: index))
            } else {
                try builder.append(scalar, isUser: isUser(at: index))
            }
            index += UTF8Bytes.width(bytes[index])
        }
        return builder.finish()
    }

    func uppercased() throws(TemplateError) -> TemplateText {
        try mapped { scalar, _ in Self.upper(scalar) }
    }

    func lowercased() throws(TemplateError) -> TemplateText {
        try mapped { scalar, index in lower(scalar, at: index) }
    }

    /// For comparison without case: like small letters, with ligatures and ß spelled out.
    func caseFolded() throws(TemplateError) -> TemplateText {
        try mapped { scalar, _ in
            if scalar == "ς" || scalar == "Σ" { return "σ" }
            let large = scalar.properties.uppercaseMapping
            if scalar.properties.isLowercase, large.unicodeScalars.count > 1 {
                return large.unicodeScalars.map { $0.properties.lowercaseMapping }.joined()
            }
            return scalar.properties.lowercaseMapping
        }
    }

    /// The first character large, the rest small.
    func capitalized() throws(TemplateError) -> TemplateText {
        try mapped { scalar, index in index == 0 ? Self.title(scalar) : lower(scalar, at: index) }
    }

    /// Python's `str.title`: every letter that follows no letter is large.
    func titled() throws(TemplateError) -> TemplateText {
        var afterCased = false
        return try mapped { scalar, index in
            defer { afterCased = scalar.properties.isCased }
            return afterCased ? lower(scalar, at: index) : Self.title(scalar)
        }
    }

    /// Jinja's `title`: words start after space, `-` and opening brackets.
    func titledByWords() throws(TemplateError) -> TemplateText {
        var isFirst = true
        return try mapped { scalar, index in
            let separates = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            defer { isFirst = separates }
            return separates ? nil : isFirst ? Self.upper(scalar) : lower(scalar, at: index)
        }
    }

    func caseSwapped() throws(TemplateError) -> TemplateText {
        try mapped { scalar, index in
            scalar.properties.isUppercase ? lower(scalar, at: index) : scalar.properties.isLowercase ? Self.upper(scalar) : nil
        }
    }

    private static func upper(_ scalar: Unicode.Scalar) -> String? {
        if scalar.isASCII { return ("a"..."z").contains(scalar) ? String(Character(Unicode.Scalar(UInt8(scalar.value - 32)))) : nil }
        return scalar.properties.uppercaseMapping
    }

    private static func title(_ scalar: Unicode.Scalar) -> String? {
        scalar.isASCII ? upper(scalar) : scalar.properties.titlecaseMapping
    }

    private func lower(_ scalar: Unicode.Scalar, at index: Int) -> String? {
        if scalar.isASCII { return ("A"..."Z").contains(scalar) ? String(Character(Unicode.Scalar(UInt8(scalar.value + 32)))) : nil }
        if scalar == "Σ" { return isFinalSigma(at: index) ? "ς" : "σ" }
        return scalar.properties.lowercaseMapping
    }

    /// A sigma ends a word when a letter stands before it and none behind.
    private func isFinalSigma(at index: Int) -> Bool {
        var place = index
        var follows = false
        while place > 0 {
            place = UTF8Bytes.start(before: place, in: bytes)
            let scalar = UTF8Bytes.scalar(at: place, in: bytes)
            if scalar.properties.isCaseIgnorable { continue }
            follows = scalar.properties.isCased
            break
        }
        guard follows else { return false }
        place = index + UTF8Bytes.width(bytes[index])
        while place < bytes.count {
            let scalar = UTF8Bytes.scalar(at: place, in: bytes)
            if !scalar.properties.isCaseIgnorable { return !scalar.properties.isCased }
            place += UTF8Bytes.width(bytes[place])
        }
        return true
    }
}
