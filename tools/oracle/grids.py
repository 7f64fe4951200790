#!/usr/bin/env python3
"""Writes the grids of ggml's IQ formats, as the `gguf` package has them, as Swift tables."""
import pathlib

import gguf.quants as quants
import numpy as np

PATH = pathlib.Path(__file__).parents[2] / "Sources/Formats/Weights/QuantGrids+Generated.swift"
# name, class, bits of an index, what a point is
GRIDS = [
    ("iq1", "IQ1_S", 2, "eight trits, + 1, two bits each"),
    ("iq2xxs", "IQ2_XXS", 2, "eight magnitudes of Magnitudes.two, two bits each"),
    ("iq2xs", "IQ2_XS", 2, "the same"),
    ("iq2s", "IQ2_S", 2, "the same"),
    ("iq3xxs", "IQ3_XXS", 3, "four magnitudes of Magnitudes.threeEven, three bits each"),
    ("iq3s", "IQ3_S", 3, "four magnitudes of Magnitudes.threeOdd, three bits each"),
]


def main() -> None:
    lines = [
        "// Written by tools/oracle/grids.py from the gguf package; not to be edited.",
        "",
        "/// The points of ggml's IQ grids: facts of those formats, found by search over trained weights. First values in the lowest bits.",
        "enum Grids {",
    ]
    for name, source, bits, meaning in GRIDS:
        kind = getattr(quants, source)
        kind.init_grid()
        points = kind.grid.reshape(kind.grid_shape)
        indices = np.stack([np.searchsorted(np.array(kind.grid_map), point) for point in points])
        assert np.array_equal(np.array(kind.grid_map)[indices], points)
        words = (indices << (bits * np.arange(points.shape[1]))).sum(-1)
        lines += [f"    /// {len(words)} points: {meaning}.", f"    static let {name}: [UInt16] = ["]
        for at in range(0, len(words), 16):
            lines.append("        " + " ".join(f"0x{word:04x}," for word in words[at : at + 16]))
        lines += ["    ]", ""]
    PATH.write_text("\n".join(lines[:-1]) + "\n}\n")


if __name__ == "__main__":
    main()
