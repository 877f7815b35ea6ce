"""What is expected of each cell of the keyless matrix of images, and why: who signed or attested in which format, who verifies.

As `keyless`, whose evidence is about files. A cell with a timestamp is asked twice: as it is, and with
`--use-signed-timestamps`. `python tests/matrix/keyless_images.py` writes the table into docs/interoperability.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEASURED = {"cosign3": "3.1.1", "cosign2": "2.5.0"}
TOOLS = ("cosign3", "cosign2", "sealgate")
KINDS = ("signature", "attestation")
FORMATS = ("bundle", "legacy")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interoperability.md"
BEGIN = "<!-- images without keys: written by tests/matrix/keyless_images.py -->\n"
END = "<!-- the end of images without keys -->\n"


class Evidence(NamedTuple):
    """What hangs on an image."""

    kind: str
    format: str
    rekor: int
    tsa: bool

    def __str__(self) -> str:
        return f"{self.kind}-{self.format}-rekor{self.rekor}{'-tsa' if self.tsa else ''}"


EVIDENCE = tuple(
    Evidence(kind, format_, rekor, tsa)
    for kind in KINDS
    for format_ in FORMATS
    for rekor in (1, 2)
    for tsa in (False, True)
)


class Cell(NamedTuple):
    """Who signed what, who verifies it, and whether a timestamp is asked for."""

    evidence: Evidence
    signer: str
    verifier: str
    stamped: bool


class Expected(NamedTuple):
    """What the verifier is expected to say."""

    accepts: bool
    why: str = ""
    says: str = ""
    """A regular expression of the complaint."""
    quirk_of: tuple[str, ...] = ()
    """The peers whose versions this refusal belongs to."""


def can_sign(signer: str, evidence: Evidence) -> str | None:
    """Why the tool cannot sign so; None when it can."""
    if evidence.format == "legacy" and evidence.rekor == 2:
        return "The older format has room for the promise of a log, which Rekor v2 does not make"
    if signer == "cosign2" and evidence.rekor == 2:
        return "cosign 2.5.0 knows Rekor v1 only"
    if signer == "cosign2" and evidence.format == "bundle" and evidence.kind == "signature":
        return "cosign 2.5.0 writes bundles of attestations, and none of signatures of images"
    if evidence.rekor == 2 and not evidence.tsa:
        return "Rekor v2 promises no time, so there must be a timestamp"
    return None


def expected(cell: Cell) -> Expected:
    """The declared expectation of a cell."""
    evidence, signer, verifier, stamped = cell
    if verifier == "cosign2" and evidence.format == "bundle":
        if evidence.kind == "signature":
            return Expected(False, "cosign 2.5.0 reads no image bundle", "no signatures found", ("cosign2",))
        if evidence.rekor == 2:
            why = "cosign 2.5.0 reads no entry of Rekor v2"
            return Expected(False, why, "no valid bundles exist", ("cosign2",))
    if stamped and signer == "cosign3" and verifier != "sealgate" and evidence[:2] == ("attestation", "legacy"):
        why = (
            "cosign 3.1.1 stamps the signature of such an attestation, and cosign asks for a stamp of the whole envelope: "
            "not with `--use-signed-timestamps`"
        )
        words = "expected at least one verified timestamp|hashed messages don.t match"
        return Expected(False, why, words, ("cosign3", verifier))
    return Expected(True)


def cells() -> Iterator[Cell]:
    """Every cell that there is."""
    for evidence in EVIDENCE:
        for signer in TOOLS:
            if can_sign(signer, evidence) is None:
                for verifier in TOOLS:
                    for stamped in (False, True) if evidence.tsa else (False,):
                        yield Cell(evidence, signer, verifier, stamped)


def table() -> str:
    """The matrix in Markdown: a table for each kind, and the reasons."""
    reasons: dict[str, int] = {}
    lines: list[str] = []
    for kind in KINDS:
        title = {"signature": "An image's signature", "attestation": "An image's attestation"}[kind]
        lines += [f"### {title}", "", f"| signed by | format | logged in | {' | '.join(map(_name, TOOLS))} |"]
        lines.append("|---" * (len(TOOLS) + 3) + "|")
        for signer in TOOLS:
            for format_ in FORMATS:
                for rekor in (1, 2):
                    evidence = Evidence(kind, format_, rekor, tsa=True)
                    if can_sign(signer, evidence) is None:
                        log = {1: "Rekor v1, with a timestamp or without", 2: "Rekor v2, with a timestamp"}[rekor]
                        marks = " | ".join(_mark(evidence, signer, verifier, reasons) for verifier in TOOLS)
                        lines.append(f"| {_name(signer)} | {format_} | {log} | {marks} |")
        lines.append("")
    lines += [f"{number}. {why}." for why, number in reasons.items()]
    missing = {why: None for signer in TOOLS for evidence in EVIDENCE if (why := can_sign(signer, evidence))}
    return "\n".join([*lines, "", *(f"{why}." for why in missing)]) + "\n"


def _mark(evidence: Evidence, signer: str, verifier: str, reasons: dict[str, int]) -> str:
    plain = expected(Cell(evidence, signer, verifier, stamped=False))
    stamped = expected(Cell(evidence, signer, verifier, stamped=True))
    if evidence.rekor == 1 and plain != expected(Cell(evidence._replace(tsa=False), signer, verifier, stamped=False)):
        raise ValueError("the table has no room for timestamps that make a difference")
    if plain.accepts and stamped.accepts:
        return "yes"
    why = stamped.why if plain.accepts else plain.why
    return f"{'yes' if plain.accepts else 'no'} ({reasons.setdefault(why, len(reasons) + 1)})"


def _name(tool: str) -> str:
    return f"cosign {MEASURED[tool]}" if tool in MEASURED else tool


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"written: {PAGE.name}\n")
