"""What is expected of each cell of the interoperability matrix, and why; and its table in docs/interoperability.md.

`python tests/matrix/declared.py` writes the table into the page. The expectations were measured with the versions in
`MEASURED`; a refusal that is a quirk of one of them is not expected of another version.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEASURED = {"cosign3": "3.1.1", "cosign2": "2.5.0"}
STORES = ("docker-registry", "embedded", "layout")
FORMATS = ("bundle", "legacy")
TOOLS = ("sealgate", "cosign3", "cosign2")
KEYS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interoperability.md"
BEGIN, END = "<!-- the matrix: written by tests/matrix/declared.py -->\n", "<!-- the end of the matrix -->\n"

_HASHES = {"ecdsa-p384": "sha384", "ecdsa-p521": "sha512"}


class Cell(NamedTuple):
    """Who signed what with which key, who verifies it, where."""

    store: str
    format: str
    key: str
    signer: str
    verifier: str


class Expected(NamedTuple):
    """What the verifier is expected to say."""

    accepts: bool
    why: str = ""
    quirk_of: str | None = None
    """The peer whose version this refusal belongs to."""
    flags: tuple[str, ...] = ()
    """With these it accepts."""


def can_sign(signer: str, format_: str) -> str | None:
    """Why the tool cannot sign so; None when it can."""
    if signer == "cosign2" and format_ == "bundle":
        return "cosign 2.5.0 signs images in the legacy format only"
    return None


def expected(cell: Cell) -> Expected:
    """The declared expectation of a cell. It does not depend on the store."""
    if cell.verifier == "cosign2" and cell.format == "bundle":
        return Expected(False, "cosign 2.5.0 reads no image bundle", "cosign2")
    if cell.signer == "cosign3" and cell.verifier in {"cosign2", "cosign3"}:
        if cell.key in _HASHES:
            flags = ("--signature-digest-algorithm", _HASHES[cell.key]) if cell.verifier == "cosign3" else ()
            why = (
                "cosign 3.1.1 signs with the hash of the curve (SHA-384, SHA-512), and cosign verifies with SHA-256 unless "
                "`--signature-digest-algorithm` says otherwise"
            )
            return Expected(False, why, "cosign3", flags)
        if cell.key == "ed25519":
            return Expected(False, "cosign 3.1.1 signs Ed25519ph, and cosign verifies pure Ed25519", "cosign3")
    return Expected(True)


def cells() -> Iterator[Cell]:
    """Every cell that there is."""
    for store in STORES:
        for format_ in FORMATS:
            for key in KEYS:
                for signer in TOOLS:
                    for verifier in TOOLS:
                        yield Cell(store, format_, key, signer, verifier)


def table() -> str:
    """The matrix in Markdown: a table for each format, and the reasons."""
    reasons: dict[str, int] = {}
    lines: list[str] = []
    for format_ in FORMATS:
        columns = [(signer, verifier) for signer in TOOLS if not can_sign(signer, format_) for verifier in TOOLS]
        title = {"bundle": "The bundle format", "legacy": "The legacy format"}[format_]
        lines += [f"### {title}", "", "| key | " + " | ".join(f"{_name(s)} → {_name(v)}" for s, v in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for key in KEYS:
            marks = []
            for signer, verifier in columns:
                found = {expected(Cell(store, format_, key, signer, verifier)) for store in STORES}
                if len(found) != 1:
                    raise ValueError("the table has no room for stores that differ")
                [one] = found
                number = reasons.setdefault(one.why, len(reasons) + 1) if not one.accepts else 0
                marks.append("yes" if one.accepts else f"no ({number})")
            lines.append(f"| {key} | " + " | ".join(marks) + " |")
        lines.append("")
        lines += [f"{missing}.\n" for signer in TOOLS if (missing := can_sign(signer, format_))]
    lines += [f"{number}. {why}." for why, number in reasons.items()]
    return "\n".join(lines) + "\n"


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
