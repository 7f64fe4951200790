"""Writes testdata/text/english.txt: the first chapters of Genesis in the King James translation, one verse a line, a blank line between chapters.

Source: the Debian packages bible-kjv and bible-kjv-text 4.38 (the text is in the public domain).
Usage: text.py ROOT, where ROOT is a folder that both packages were unpacked into (dpkg-deb -x).
"""

import pathlib
import re
import subprocess
import sys

import manifest

BYTES = 50_000


def main(root: str) -> None:
    printed = subprocess.run(
        [f"{root}/usr/bin/bible", "-p", f"{root}/usr/lib", "gen1:1-20:18"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True,
    ).stdout
    verses: list[str] = []
    for line in printed.splitlines():
        if re.match(r"Genesis \d+$", line):
            if verses:
                verses.append("")
        elif start := re.match(r"  \d+ (.*)$", line):
            verses.append(start[1])
        elif line:
            verses[-1] += " " + line
    text = ""
    for verse in verses:
        if len(text) > BYTES:
            break
        text += verse + "\n"
    target = pathlib.Path(__file__).parents[2] / "testdata/text/english.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    manifest.record({target: dict(
        writer="tools/oracle/text.py",
        source="Debian packages bible-kjv and bible-kjv-text 4.38: the King James translation, in the public domain")})


if __name__ == "__main__":
    main(sys.argv[1])
