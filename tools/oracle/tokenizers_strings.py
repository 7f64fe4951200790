"""Texts to try tokenizers on: every script, emoji, spaces, numbers, code, marks, special tokens. Seeded, always the same."""
import random
import unicodedata

SCRIPTS = {
    "latin": (0x41, 0x24F), "greek": (0x370, 0x3FF), "cyrillic": (0x400, 0x4FF), "armenian": (0x531, 0x587), "hebrew": (0x5D0, 0x5EA),
    "arabic": (0x620, 0x6D3), "devanagari": (0x904, 0x96F), "bengali": (0x985, 0x9EF), "gurmukhi": (0xA05, 0xA6F), "gujarati": (0xA85, 0xAEF),
    "tamil": (0xB85, 0xBEF), "telugu": (0xC05, 0xC6F), "kannada": (0xC85, 0xCEF), "malayalam": (0xD05, 0xD6F), "sinhala": (0xD85, 0xDDF),
    "thai": (0xE01, 0xE59), "lao": (0xE81, 0xED9), "tibetan": (0xF40, 0xFB9), "myanmar": (0x1000, 0x1059), "georgian": (0x10A0, 0x10FF),
    "hangul jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x135A), "cherokee": (0x13A0, 0x13F5), "khmer": (0x1780, 0x17E9),
    "mongolian": (0x1820, 0x1878), "latin additional": (0x1E00, 0x1EFF), "greek extended": (0x1F00, 0x1FFE), "kana": (0x3041, 0x30FF),
    "bopomofo": (0x3105, 0x312F), "han": (0x4E00, 0x9FEF), "han a": (0x3400, 0x4DB5), "han b": (0x20000, 0x2A6D6), "yi": (0xA000, 0xA48C),
    "hangul": (0xAC00, 0xD7A3), "gothic": (0x10330, 0x1034A), "deseret": (0x10400, 0x1044F), "cuneiform": (0x12000, 0x12399),
    "fullwidth": (0xFF01, 0xFF9F), "mathematical": (0x1D400, 0x1D7FF), "presentation": (0xFB50, 0xFDFB),
}
MARKS = (0x300, 0x34E)
SPACES = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\u000b", "\u000c", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2009", "\u2028",
          "\u2029", "\u202f", "\u205f", "\u3000"]
ODD = ["\u200b", "\u200d", "\u00ad", "\ufeff", "\ufffd", "\u2060", "\u0001", "\u007f", "\u0000", "\u2581", "\ue000", "\U000f0000"]
EMOJI = ["🙂", "🚀", "👍🏽", "👩‍🚀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇺🇸", "1️⃣", "#️⃣", "❤️", "✅", "😶‍🌫️", "🧑🏿‍💻", "☃︎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🫠", "™️", "〰️"]
WORDS = """the of and to in is that for was on are with as they be at one have this from or had by hot but some what there we can out other
were all your when up use word how said an each she which do their time if will way about many then them would write like so these her long
make thing see him two has look more day could go come did my sound no most number who over know water than call first people may down side
been now find any new work part take get place made live where after back little only round man year came show every good me give our under
name very through just form much great think say help low line before turn cause same mean differ move right boy old too does tell sentence
set three want air well also play small end put home read hand port large spell add even land here must big high such follow act why ask men
change went light kind off need house picture try us again animal point mother world near build self earth father internationalization
antidisestablishmentarianism counterrevolutionaries incomprehensibilities tokenizer quantization transformer embedding""".split()
CONTRACTIONS = ["it's", "don't", "we're", "I've", "I'm", "they'll", "he'd", "IT'S", "DON'T", "WE'RE", "I'VE", "I'M", "THEY'LL", "HE'D", "y'all",
                "o'clock", "rock 'n' roll", "'tis", "it’s", "'s", " 's", "''s", "'S", "'ſ", "'re", "'lL", "'Ve", "'x", "' t"]
CODE = [
    "func scalar(at position: Int) -> UInt32 {\n    return text[position] &+ 0x80\n}\n",
    "def main(argv=None):\n\tif not argv:\n\t\treturn 0\n\n\tfor i, x in enumerate(argv):\n\t\tprint(f\"{i:>3} {x!r}\")\n",
    "#include <stdio.h>\nint main(void) { printf(\"%d\\n\", 1 << 31); /* comment */ }\n",
    "{\"name\": \"x\", \"values\": [1, 2.5e-3, null, true], \"nested\": {\"a\": {}}}",
    "SELECT a.id, COUNT(*) FROM t AS a WHERE a.x >= 10 AND b <> 'it''s' GROUP BY 1;",
    "<div class=\"a b\" id='c'>&nbsp;<br/></div>\n<!-- no -->", "https://example.com/a/b?c=d&e=%20f#g", "user.name+tag@example.co.uk",
    "$ ls -la ~/x | grep -v '^d' > /dev/null 2>&1", "C:\\Users\\me\\file.txt", "a != b && !(c || d) ?? e ? f : g", "x**2 // 3 %= ~y ^ z",
    "    \t  mixed = indent;\n        deeper();\n            deepest();\n", "0xDEADBEEF 0b1010 1_000_000 3.14e+10 -42 +7", "```swift\nlet a = 1\n```",
    "// ---------------------------------\n/* ********************* */\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "\\begin{equation} \\frac{a}{b} = \\alpha_1^{2} \\end{equation}",
    "try! x as? Y; a?.b!.c; $0.1; #if os(Linux)\n@main\n", "key: value\nlist:\n  - one\n  - two\n",
]


def known(point):
    """Assigned for so long that all implementations agree on what it is."""
    return unicodedata.ucd_3_2_0.category(chr(point)) not in ("Cn", "Cs") and unicodedata.category(chr(point)) == unicodedata.ucd_3_2_0.category(chr(point))


class Strings:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.points = {name: [p for p in range(a, b + 1) if unicodedata.category(chr(p)) not in ("Cn", "Cs", "Co")] for name, (a, b) in SCRIPTS.items()}
        self.all = [p for p in range(0x20, 0x30000) if known(p)]

    def word(self, script, longest=9):
        points = self.points[script]
        return "".join(chr(self.random.choice(points)) for _ in range(self.random.randint(1, longest)))

    def english(self, count):
        words = []
        for _ in range(count):
            word = self.random.choice(WORDS)
            kind = self.random.random()
            if kind < 0.12: word = word.capitalize()
            elif kind < 0.16: word = word.upper()
            elif kind < 0.22: word = self.random.choice(CONTRACTIONS)
            elif kind < 0.27: word = str(self.random.randint(0, 10 ** self.random.randint(1, 12)))
            words.append(word + self.random.choice(["", "", "", "", "", ",", ".", "!", "?", ";", ":", "...", ")", "\""]))
        return " ".join(words)

    def spaces(self, most=6):
        if self.random.random() < 0.3: return self.random.choice(SPACES[:5]) * self.random.randint(1, 40)
        return "".join(self.random.choice(SPACES) for _ in range(self.random.randint(1, most)))

    def number(self):
        digits = lambda n: "".join(self.random.choice("0123456789") for _ in range(n))
        script = self.random.choice([0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xFF10, 0x2460, 0x2150, 0x2160, 0x30])
        return self.random.choice([digits(self.random.randint(1, 30)), digits(4) + "-" + digits(2) + "-" + digits(2), digits(3) + "," + digits(3),
                                   "$" + digits(2) + "." + digits(2), digits(2) + "%", "v" + digits(1) + "." + digits(2) + "." + digits(1),
                                   "".join(chr(script + self.random.randint(0, 8)) for _ in range(self.random.randint(1, 6))), "½ ² ³ Ⅷ ㊷"])

    def marked(self):
        base = self.random.choice(["latin", "greek", "cyrillic", "kana", "hangul jamo", "devanagari", "hebrew", "latin additional", "hangul"])
        return "".join(unicodedata.normalize(self.random.choice(["NFD", "NFC"]), c) + "".join(chr(self.random.randint(*MARKS)) for _ in range(self.random.choice([0, 0, 1, 1, 2, 4])))
                       for c in self.word(base))

    def one(self, specials):
        r = self.random
        kind = r.randint(0, 15)
        if kind == 0: return self.english(r.randint(1, 16))
        if kind == 1: return " ".join(self.word(r.choice(list(SCRIPTS))) for _ in range(r.randint(1, 5)))
        if kind == 2: return self.spaces(12).join(self.english(1) for _ in range(r.randint(1, 4)))
        if kind == 3: return r.choice(["", " ", "a"]).join(self.number() for _ in range(r.randint(1, 3)))
        if kind == 4:
            code = r.choice(CODE)
            start = r.randint(0, len(code) // 2)
            return code if r.random() < 0.4 else code[start : start + r.randint(1, 60)]
        if kind == 5: return r.choice(["", " "]).join(r.choice(EMOJI) for _ in range(r.randint(1, 4))) + r.choice(["", self.english(2)])
        if kind == 6: return r.choice(["", " "]).join(self.marked() for _ in range(r.randint(1, 3)))
        if kind == 7: return "".join(chr(r.choice(self.all)) for _ in range(r.randint(1, 12)))
        if kind == 8: return "".join(chr(r.randint(0x20, 0x7E)) for _ in range(r.randint(1, 24)))
        if kind == 9: return r.choice(["a", "A", "ab", "z", "=", "-", "*", "/", "\n", " \n", "0", "é", "の", "🙂", "!?", "._", "' "]) * r.randint(1, 70)
        if kind == 10: return self.spaces() + self.english(r.randint(1, 3)) + self.spaces()
        if kind == 11: return "".join(r.choice([self.english(1), self.number(), r.choice(EMOJI), self.spaces(3), r.choice(ODD), self.marked(), self.word(r.choice(list(SCRIPTS)), 3)])
                                      for _ in range(r.randint(2, 6)))
        if kind == 12: return "".join(r.choice(["", " ", "x", "\n", self.english(1)]) + r.choice(specials) for _ in range(r.randint(1, 3))) + r.choice(["", " y", "\n"])
        if kind == 13:
            special = r.choice(specials)
            return special[: r.randint(1, len(special))] + r.choice(["", " ", ">", "|>"]) + r.choice(["<0x0A>", "<0xZZ>", "<0x-1>", "<0x", "▁", "▁a▁ b", "[PAD", "Ġ", "Ċx"])
        if kind == 14: return r.choice([" ", ""]).join(r.choice(CONTRACTIONS) for _ in range(r.randint(1, 5)))
        return self.word("han", 14) + r.choice(["。", "，", "", "、", "!"]) + self.word("kana", 6) + r.choice(["", self.word("hangul", 5), self.english(1)])

    def many(self, count, specials):
        found, seen = [], set()
        for text in ["", " ", "\n", "a"] + SPACES + ODD + EMOJI + CODE + CONTRACTIONS:
            if text not in seen:
                seen.add(text)
                found.append(text)
        while len(found) < count:
            text = self.one(specials)
            if text not in seen:
                seen.add(text)
                found.append(text)
        return found[:count]
