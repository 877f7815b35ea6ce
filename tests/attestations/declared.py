"""What is expected of each cell of the attestation matrix, and why; its table stands in docs/attest.md.

`python tests/attestations/declared.py` writes the table into the page. The expectations were measured with the versions in
`matrix.declared.MEASURED`; a refusal that is a quirk of one of them is not expected of another version.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEASURED = {"cosign3": "3.1.1", "cosign2": "2.5.0"}
FORMATS = ("bundle", "legacy")
TOOLS = ("sealgate", "cosign3", "cosign2")
URI = "https://example.com/my/type"
TYPES = {
    # --type: the file of predicates/
    "custom": "custom.json",
    "slsaprovenance": "slsa02.json",
    "slsaprovenance02": "slsa02.json",
    "slsaprovenance1": "slsa1.json",
    "spdxjson": "spdx.json",
    "spdx": "spdx.txt",
    "cyclonedx": "cdx.json",
    "link": "link.json",
    "vuln": "vuln.json",
    "openvex": "vex.json",
    URI: "cdx.json",
}

PAGE = Path(__file__).resolve().parents[2] / "docs" / "attest.md"
BEGIN, END = "<!-- the matrix: written by tests/attestations/declared.py -->\n", "<!-- the end of the matrix -->\n"


class Cell(NamedTuple):
    """Who attested what in which format, and who verifies it."""

    type: str
    format: str
    signer: str
    verifier: str


class Expected(NamedTuple):
    """What the verifier is expected to say."""

    accepts: bool
    why: str = ""
    quirk_of: str | None = None
    """The peer whose version this refusal belongs to."""


def expected(cell: Cell) -> Expected:
    """The declared expectation of a cell. Who signed does not matter: every tool signs every type in both formats."""
    if cell.type == "spdx" and cell.verifier == "cosign3":
        return Expected(False, "cosign 3.1.1 reads no predicate that is text, its own neither", "cosign3")
    if cell.type == "spdx" and cell.verifier == "cosign2" and cell.format == "bundle":
        return Expected(False, "cosign 2.5.0 reads no bundle whose predicate is text, its own neither", "cosign2")
    return Expected(True)


def cells() -> Iterator[Cell]:
    """Every cell that there is."""
    for kind in TYPES:
        for format_ in FORMATS:
            for signer in TOOLS:
                for verifier in TOOLS:
                    yield Cell(kind, format_, signer, verifier)


def table() -> str:
    """The matrix in Markdown. A column is a verifier and a format; signers do not differ."""
    reasons: dict[str, int] = {}
    columns = [(verifier, format_) for verifier in TOOLS for format_ in FORMATS]
    lines = ["| `--type` | " + " | ".join(f"{_name(verifier)}, {format_}" for verifier, format_ in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for kind in TYPES:
        marks = []
        for verifier, format_ in columns:
            found = {expected(Cell(kind, format_, signer, verifier)) for signer in TOOLS}
            if len(found) != 1:
                raise ValueError("the table has no room for signers that differ")
            [one] = found
            number = reasons.setdefault(one.why, len(reasons) + 1) if not one.accepts else 0
            marks.append("yes" if one.accepts else f"no ({number})")
        lines.append(f"| `{kind if kind != URI else 'any URI'}` | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"{number}. {why}." for why, number in reasons.items())]) + "\n"


def _name(tool: str) -> str:
    return {"cosign3": f"cosign {MEASURED['cosign3']}", "cosign2": f"cosign {MEASURED['cosign2']}"}.get(tool, tool)


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"written: {PAGE.name}\n")
