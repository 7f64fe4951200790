extension Setting {
    /// Every key as a Markdown table, one for each section: what docs/operations.md shows.
    public static var markdownTable: String {
        let defaults = Configuration()
        var text = ""
        var section: Substring = ""
        for setting in all {
            if setting.section != section {
                section = setting.section
                text += "\n**`[\(section)]`**\n\n| key | default | may be | environment | option | |\n|---|---|---|---|---|---|\n"
            }
            let name = setting.key.split(separator: ".").dropFirst().joined(separator: ".")
            let shown = setting.show(defaults)
            let names = setting.form == .table ? [] : [setting.environmentName] + setting.otherNames
            let cells = [
                "`\(name.isEmpty ? "\(setting.key).NAME" : name)`\(setting.isLive ? "" : " ¹")",
                setting.isQuotedDefault(shown) ? "`\(shown)`" : shown, setting.range,
                names.map { "`\($0)`" }.joined(separator: ", "), setting.option.map { "`\($0)`" } ?? "", setting.meaning,
            ]
            text += "| " + cells.joined(separator: " | ") + " |\n"
        }
        return text.drop { $0 == "\n" } + "\n¹ takes effect at the next start; all others at a reload, too.\n"
    }

    /// A value as a file has it, and not words about what happens without one.
    private func isQuotedDefault(_ shown: String) -> Bool {
        shown.first == "\"" || shown.first == "[" || shown == "true" || shown == "false" || shown.first?.isNumber == true
    }
}
