"""`sealgate sbom diff`: what differs between the SBOMs of two images or files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.options import add_flag
from sealgate.cli.sbom_documents import add_source_arguments, choose, complain, load, tell, where
from sealgate.cli.text import printable, printable_json
from sealgate.errors import SbomInvalidError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.cli.sbom_documents import Shown, Source
    from sealgate.sbom.comparison import Change, Difference

HELP = """Compare the SBOMs of two images or files, of whatever formats: packages that came, went or changed their version, and
licenses that changed. Nothing is verified unless --key or an identity is given. Exit codes: 1 with --exit-code when something
differs, 10 there is no SBOM, 12 none is signed as asked for, 14 not everything could be asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    for name, text in (
        ("before", "the older one: an image, or a file (as for `sbom show`)"),
        ("after", "the newer one"),
    ):
        parser.add_argument(name, metavar=name[0].upper(), help=text)
    add_flag(parser, "--exit-code", help="end in 1 when something differs")
    add_source_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Compare; 14 when not everything could be asked for."""
    from sealgate.sbom.comparison import compare

    sources = load([arguments.before, arguments.after], arguments, context)
    chosen: list[Shown] = []
    for source in sources:
        index = choose(source, arguments)
        tell(source, index, context)
        chosen.append(source.documents[index])
    before, after = (shown.reading.sbom for shown in chosen)
    if before is None or after is None:
        raise SbomInvalidError("an SBOM could not be read")
    found = compare(before, after)
    if arguments.output == "json":
        context.out(_json(sources, chosen, found))
    else:
        context.out("\n".join(_text(sources, chosen, found)))
    codes = [complain(source, context) for source in sources]
    return max(codes) or int(arguments.exit_code and found.differs)


_VERSION = "(no version)"
_LICENSE = "(none)"


def _text(sources: list[Source], chosen: list[Shown], found: Difference) -> list[str]:
    lines = []
    for sign, source, shown in zip(("---", "+++"), sources, chosen, strict=True):
        title = shown.reading.sbom.title if shown.reading.sbom else ""
        lines.append(
            f"{sign} {printable(source.name, most=600)}: {printable(title)}, {printable(shown.signed)}, {where(shown)}"
        )
    lists = (
        ("added", found.added, "+", _VERSION),
        ("removed", found.removed, "-", _VERSION),
        ("changed", found.changed, "~", _VERSION),
        ("licenses changed", found.licenses, "~", _LICENSE),
    )
    for title, changes, sign, nothing in lists:
        if changes:
            lines += ["", f"{title} ({len(changes)})"]
            lines += [f"{sign} {_change(change, sign, nothing)}" for change in changes]
    if not found.differs:
        lines += ["", "no difference"]
    return lines


def _change(change: Change, sign: str, nothing: str) -> str:
    before, after = (", ".join(word or nothing for word in side) for side in (change.before, change.after))
    if sign != "~":
        what = before or after
    elif nothing == _LICENSE or (before and after):
        what = f"{before or nothing} -> {after or nothing}"
    else:  # one of several versions that are there at once
        what = f"no longer {before}" if before else f"also {after}"
    kind = f"{change.kind} " if change.kind else ""
    return printable(f"{kind}{change.name} {what}", most=1000)


def _json(sources: list[Source], chosen: list[Shown], found: Difference) -> str:
    import json

    document = {
        name: {
            "image": source.name,
            "digest": None if source.digest is None else str(source.digest),
            "document": shown.as_json(source.documents.index(shown) + 1),
        }
        for name, source, shown in zip(("before", "after"), sources, chosen, strict=True)
    }
    lists: dict[str, list[dict[str, Any]]] = {
        name: [
            {"type": change.kind, "name": change.name, "before": list(change.before), "after": list(change.after)}
            for change in changes
        ]
        for name, changes in found._asdict().items()
    }
    return printable_json(json.dumps({**document, **lists}, ensure_ascii=False, indent=2))
