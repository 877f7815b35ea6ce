"""Write docs/bypasses.md: every known way past such software, with the tests that try it, or what it waits for.

The ways are in `bypasses.txt`; a test belongs to a way when its name, or the id of one of its parameters, has the id.

    python tools/bypasses.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "bypasses.md"
STAGES = {
    "R": ("Reference parsing", None),
    "T": ("Registry transport", None),
    "M": ("Manifest, index, digest", None),
    "E": ("Signature envelope and payload", None),
    "C": ("Certificate and identity", "keyless verification"),
    "L": ("Transparency log", "keyless verification"),
    "S": ("Timestamps and time", "keyless verification"),
    "U": ("Trust roots", "trust roots"),
    "P": ("Policy matching and verdict", "policies"),
    "K": ("Kubernetes admission", "admission"),
    "D": ("Resource exhaustion", None),
    "X": ("Command line, environment, plugins, outputs", None),
    "W": ("Classes of weakness", None),
}
SHOWN = 4
_ROW = re.compile(r'\bCase\(\s*"((?:[A-Z][0-9]{2} )+)')
_TABLE = "test_each_alteration_is_refused"
"""The test that tries the rows of a table, whose names begin with the ids."""
_ID = re.compile(r"(?<![A-Za-z0-9])([RTMECLSUPKDXW][0-9]{2})(?![0-9])")


def ways() -> dict[str, tuple[str, str | None]]:
    """Each id with its words and what it waits for."""
    found = {}
    for line in (ROOT / "tools" / "bypasses.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            words, _, waits = line[4:].partition(" | ")
            found[line[:3]] = (words, waits or STAGES[line[0]][1])
    return found


def tests() -> dict[str, list[str]]:
    """Each id with its tests, as `path::name`."""
    found = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for row in _ROW.findall(text):  # of an alteration table
            for way in _ID.findall(row):
                name = f"{path.relative_to(ROOT / 'tests')}::{_TABLE}"
                if name not in found[way]:
                    found[way].append(name)
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", text, re.MULTILINE):
            for way in _ID.findall(name.replace("_", " ")):
                found[way].append(f"{path.relative_to(ROOT / 'tests')}::{name}")
    return found


def page() -> str:
    """The page."""
    tried = tests()
    all_ways = ways()
    unknown = sorted(set(tried) - set(all_ways))
    if unknown:
        sys.exit(f"tests name ids that are not in tools/bypasses.txt: {', '.join(unknown)}")
    silent = sorted(way for way, (_, waits) in all_ways.items() if waits is None and way not in tried)
    if silent:
        sys.exit(f"no test and nothing that it waits for: {', '.join(silent)}")
    count = sum(way in tried for way in all_ways)
    lines = [
        "# Known ways past such software",
        "",
        "Flaws that were found in software which verifies or gates container images, and ways that a red team would try. Each has an",
        "id; a test that tries it carries the id in its name. What is not tried yet waits for the part of Sealgate that it is about.",
        "",
        f"Of {len(all_ways)} ways {count} are tried by tests. This page is made by `tools/bypasses.py`; a test holds it current.",
    ]
    for letter, (title, _) in STAGES.items():
        lines += ["", f"## {title}", "", "| id | what | tests |", "|---|---|---|"]
        for way, (words, waits) in all_ways.items():
            if way[0] != letter:
                continue
            names = [f"`{name}`" for name in tried.get(way, ())]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            told = ", ".join(names[:SHOWN]) + more
            if not told:
                told = waits if waits and waits.startswith("nothing") else f"waits for: {waits}"
            lines.append(f"| {way} | {words} | {told} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the page is not current")
    made = page()
    if not parser.parse_args().check:
        PAGE.write_text(made, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        sys.exit("docs/bypasses.md is not current: python tools/bypasses.py")


if __name__ == "__main__":
    main()
