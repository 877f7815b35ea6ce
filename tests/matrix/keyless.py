"""What is expected of each cell of the keyless matrix, and why: who signed what, logged where, and who verifies it.

The expectations were measured with the versions in `MEASURED`; what is a quirk of one of them is not expected of another.
The tools themselves are in `keyless_tools`. `python tests/matrix/keyless.py` writes the table into docs/interoperability.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEASURED = {
    "cosign3": "3.1.1",
    "cosign2": "2.5.0",
    "sigstore-python": "4.5.1",
    "sigstore-js": "5.0.1",
    "sigstore-js4": "4.1.1",
}
SIGNERS = (*MEASURED, "sealgate")
VERIFIERS = (*MEASURED, "sealgate")
KINDS = ("blob", "dsse")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interoperability.md"
BEGIN, END = "<!-- without keys: written by tests/matrix/keyless.py -->\n", "<!-- the end of what is without keys -->\n"


class Evidence(NamedTuple):
    """What a bundle holds."""

    kind: str
    rekor: int
    tsa: bool

    def __str__(self) -> str:
        return f"{self.kind}-rekor{self.rekor}{'-tsa' if self.tsa else ''}"


EVIDENCE = tuple(Evidence(kind, rekor, tsa) for kind in KINDS for rekor in (1, 2) for tsa in (False, True))


class Cell(NamedTuple):
    """Who signed what, and who verifies it."""

    evidence: Evidence
    signer: str
    verifier: str


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
    if signer == "cosign2" and evidence.rekor == 2:
        return "cosign 2.5.0 knows Rekor v1 only"
    if evidence.rekor == 2 and not evidence.tsa and not signer.startswith("sigstore-js"):
        return "Rekor v2 promises no time, so there must be a timestamp"
    return None


def expected(cell: Cell) -> Expected:
    """The declared expectation of a cell."""
    evidence, signer, verifier = cell
    if verifier == "cosign2" and evidence.rekor == 2:
        why = "cosign 2.5.0 reads no entry of Rekor v2"
        return Expected(False, why, "nil value in transaction log entry", ("cosign2",))
    if evidence.rekor == 2 and not evidence.tsa:
        return Expected(False, "Rekor v2 promises no time, and there is no timestamp", "timestamp")
    if verifier == "sigstore-python" and evidence.kind == "dsse" and signer in {"cosign3", "cosign2"}:
        why = "cosign writes statements of in-toto 0.1, sigstore-python reads those of version 1"
        return Expected(False, why, "statement", ("sigstore-python", signer))
    if verifier == "sigstore-js4" and evidence.kind == "dsse" and evidence.rekor == 2:
        why = "sigstore-js 4 expects an entry of the kind dsse in Rekor v2, which takes hashedrekord only since version 2.3"
        return Expected(False, why, "digest mismatch", ("sigstore-js4",))
    return Expected(True)


def cells() -> Iterator[Cell]:
    """Every cell that there is."""
    for evidence in EVIDENCE:
        for signer in SIGNERS:
            if can_sign(signer, evidence) is None:
                for verifier in VERIFIERS:
                    yield Cell(evidence, signer, verifier)


def table() -> str:
    """The matrix in Markdown: a table for each kind, and the reasons."""
    reasons: dict[str, int] = {}
    lines: list[str] = []
    for kind in KINDS:
        title = {"blob": "A file's signature", "dsse": "A file's attestation"}[kind]
        lines += [f"### {title}", "", f"| signed by | logged in | {' | '.join(map(_name, VERIFIERS))} |"]
        lines.append("|---" * (len(VERIFIERS) + 2) + "|")
        for signer in SIGNERS:
            for rekor in (1, 2):
                evidence = Evidence(kind, rekor, tsa=True)
                if can_sign(signer, evidence) is None:
                    log = {1: "Rekor v1, with a timestamp or without", 2: "Rekor v2, with a timestamp"}[rekor]
                    marks = (_mark(evidence, signer, verifier, reasons) for verifier in VERIFIERS)
                    lines.append(f"| {_name(signer)} | {log} | {' | '.join(marks)} |")
        lines.append("")
    lines += [f"{number}. {why}." for why, number in reasons.items()]
    missing = {why: None for signer in SIGNERS for evidence in EVIDENCE if (why := can_sign(signer, evidence))}
    lines += [
        "",
        *(f"{why}." for why in reversed(missing)),
        "sigstore-js signs without one all the same, and no verifier accepts it.",
    ]
    return "\n".join(lines) + "\n"


def _mark(evidence: Evidence, signer: str, verifier: str, reasons: dict[str, int]) -> str:
    one = expected(Cell(evidence, signer, verifier))
    if evidence.rekor == 1 and one != expected(Cell(evidence._replace(tsa=False), signer, verifier)):
        raise ValueError("the table has no room for timestamps that make a difference")
    return "yes" if one.accepts else f"no ({reasons.setdefault(one.why, len(reasons) + 1)})"


def _name(tool: str) -> str:
    return f"{tool.rstrip('234') if tool in MEASURED else tool} {MEASURED.get(tool, '')}".strip()


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"written: {PAGE.name}\n")
