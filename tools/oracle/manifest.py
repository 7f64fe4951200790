"""testdata/MANIFEST.json: for each recorded file which tool and version wrote it, from which seed or source, and its hash."""

import hashlib
import json
import pathlib

TESTDATA = pathlib.Path(__file__).parents[2] / "testdata"
PATH = TESTDATA / "MANIFEST.json"


def record(files: dict[pathlib.Path, dict], replacing: str | None = None) -> None:
    """Adds entries (`writer`, and what else is to be known); those under the folder `replacing` go first."""
    manifest = json.loads(PATH.read_text()) if PATH.exists() else {"files": {}}
    kept = {name: entry for name, entry in manifest["files"].items() if not (replacing and name.startswith(replacing))}
    for file, entry in files.items():
        name = file.resolve().relative_to(TESTDATA.resolve()).as_posix()
        kept[name] = entry | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    manifest = {"files": dict(sorted(kept.items()))}
    PATH.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
