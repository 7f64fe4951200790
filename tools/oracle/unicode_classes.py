"""Writes the two Unicode tables of the tokenizer as Swift source.

    python tools/oracle/unicode_classes.py Sources/Runtime/Text

Classes are asked of the expression engine inside the `tokenizers` package, code point by code point, so that the
hand-written splitters see exactly the letters, numbers and spaces that the published patterns see.
Composition data is taken from Python's `unicodedata`, and compared with the normaliser of the same package.
"""
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, POINTS))
FLAGS = [("L", 1), ("N", 2), ("M", 4), ("P", 16), ("S", 32), ("Lu", 64), ("Lt", 64), ("Ll", 128)]


def members(expression):
    split = pre_tokenizers.Split(Regex(expression), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str(TEXT) for c in piece}


def classes():
    table = bytearray(0x110000)
    for name, bit in FLAGS:
        for point in members(r"\p{%s}" % name):
            table[point] |= bit
    for point in members(r"\s"):
        table[point] |= 8
    return table


def ranges(value, end):
    """[(first, value)] wherever the value changes."""
    found, last = [], None
    for point in range(end):
        v = value(point)
        if v != last:
            found.append((point, v))
            last = v
    return found


def array(name, comment, values, width):
    rows = []
    per_row = 120 // (width + 4)
    for i in range(0, len(values), per_row):
        rows.append("        " + " ".join("0x%0*X," % (width, v) for v in values[i : i + per_row]))
    return "    /// %s\n    static let %s: [UInt32] = [\n%s\n    ]\n" % (comment, name, "\n".join(rows))


def write(path, what, name, body):
    with open(path, "w") as file:
        file.write("// Written by tools/oracle/unicode_classes.py. Not edited by hand.\n\n")
        file.write("/// %s\nenum %s {\n%s}\n" % (what, name, "\n".join(body)))


def main(folder):
    table = classes()
    limit = 0x40000
    variation = set(range(0xE0100, 0xE01F0))
    for point in range(limit, 0x110000):  # the reader relies on it: nothing but variation selectors up there
        assert table[point] == (4 if point in variation else 0), hex(point)
    packed = [first << 8 | value for first, value in ranges(lambda c: table[c], limit)]
    write(folder + "/UnicodeClass+Generated.swift", "What every code point is, as ranges.", "UnicodeClassTable",
          [array("ranges", "`first code point << 8 | class`, up to the next entry; from 0x40000 on there are only variation selectors.",
                 packed, 8)])

    decomposition, composing = [], {}
    for point in POINTS:
        form = unicodedata.decomposition(chr(point))
        if not form or form.startswith("<"):
            continue
        parts = [int(p, 16) for p in form.split()]
        composes = len(parts) == 2 and unicodedata.normalize("NFC", chr(point)) == chr(point)
        first = parts[0]
        second = parts[1] if len(parts) == 2 else 0
        assert first < 1 << 21 and second < 1 << 21 and len(parts) <= 2
        decomposition += [point | (1 << 31 if composes else 0), first, second]
        if composes:
            composing[(first, second)] = point
    marks = ranges(lambda c: unicodedata.combining(chr(c)) if not 0xD800 <= c < 0xE000 else 0, 0x20000)
    assert all(unicodedata.combining(chr(c)) == 0 for c in range(0x20000, 0x110000))
    seconds = {b for _, b in composing}

    def touched(c):
        if 0xD800 <= c < 0xE000:
            return 0
        if unicodedata.combining(chr(c)) or c in seconds or 0x1161 <= c <= 0x1175 or 0x11A8 <= c <= 0x11C2:
            return 1
        return int(unicodedata.normalize("NFC", chr(c)) != chr(c))

    concerned = ranges(touched, 0x30000)
    assert not any(touched(c) for c in range(0x30000, 0x110000))
    write(folder + "/Composition+Generated.swift", "Canonical decomposition, composition and combining order.", "CompositionTable", [
        array("pairs", "Three words each: code point (top bit: the pair composes to it again), first part, second part or 0.", decomposition, 8),
        array("orders", "`first code point << 8 | combining class`, up to the next entry.", [f << 8 | v for f, v in marks], 8),
        array("concerned", "First code points of runs that composition may touch and of runs that it never does, by turns.",
              [f for f, _ in concerned][1:], 5),
    ])
    nfc = normalizers.NFC()
    differing = [hex(c) for c in POINTS if nfc.normalize_str(chr(c)) != unicodedata.normalize("NFC", chr(c))]
    print(len(packed), "class ranges;", len(decomposition) // 3, "decompositions;", len(marks), "order ranges;", len(concerned),
          "concerned ranges; NFC differs from the package at", differing)


main(sys.argv[1])
