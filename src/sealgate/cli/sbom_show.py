"""`sealgate sbom show`: which SBOMs an image has, whether they are signed, and the packages of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.sbom_documents import add_source_arguments, choose, complain, load, table, where
from sealgate.cli.text import printable, printable_json
from sealgate.errors import SealgateError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.cli.sbom_documents import Source
    from sealgate.sbom.document import Package

HELP = """Show the SBOMs of an image, wherever tools put them, and the packages of one: the best signed, or that of --document.
Nothing is verified unless --key or an identity is given; then only documents count whose attestation verifies. Exit codes: 10
there is no SBOM, 12 none is signed as asked for, 14 not everything could be asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE|FILE",
        help="registry/repository[:tag][@digest], oci:DIR, oci-archive:FILE; a file that is there, file:PATH, or - (stdin)",
    )  # fmt: skip
    parser.add_argument("--document", type=int, metavar="N", help="the packages of this document of the list")
    add_source_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Show; 14 when not everything could be asked for."""
    (source,) = load([arguments.image], arguments, context)
    try:
        chosen = choose(source, arguments, number=arguments.document)
    except SealgateError:
        if arguments.output == "text" and source.documents:
            context.out("\n".join(_documents(source, None)))
        complain(source, context)
        raise
    if arguments.output == "json":
        context.out(_json(source, chosen))
    else:
        context.out("\n".join([*_documents(source, chosen), "", *_packages(source, chosen)]))
    return complain(source, context)


def _documents(source: Source, chosen: int | None) -> list[str]:
    digest = "" if source.digest is None else f"  {source.digest}"
    rows = []
    for index, shown in enumerate(source.documents):
        sbom, problem = shown.reading.sbom, shown.reading.problem
        rows.append(
            (
                f"{'*' if index == chosen else ' '} {index + 1}",
                "unreadable" if sbom is None else printable(sbom.title, most=40),
                "" if sbom is None else printable(", ".join(sbom.tools), most=40),
                "" if sbom is None else str(len(sbom.packages)),
                printable(shown.signed, most=60),
                f"[{problem.code}]" if problem is not None else shown.about,
                where(shown),
            )
        )
    head = ("  #", "DOCUMENT", "MADE BY", "PACKAGES", "SIGNED", "ABOUT", "FROM")
    return [f"{printable(source.name, most=600)}{digest}", *table(head, rows)]


def _packages(source: Source, chosen: int) -> list[str]:
    sbom = source.documents[chosen].reading.sbom
    rows = [
        (printable(package.name), printable(package.version), printable(", ".join(package.licenses)), purl(package))
        for package in sorted(sbom.packages if sbom else (), key=lambda each: (each.name.casefold(), each.version))
    ]
    return table(("NAME", "VERSION", "LICENSES", "PURL"), rows)


def purl(package: Package) -> str:
    """For people."""
    return printable(package.purl, most=600)


def _json(source: Source, chosen: int) -> str:
    import json

    sbom = source.documents[chosen].reading.sbom
    found = {
        "image": source.name,
        "digest": None if source.digest is None else str(source.digest),
        "documents": [shown.as_json(number) for number, shown in enumerate(source.documents, 1)],
        "problems": [{"code": problem.code, "message": problem.message} for problem in source.problems],
        "document": chosen + 1,
        "packages": [
            {
                "name": package.name,
                "version": package.version,
                "purl": package.purl,
                "licenses": list(package.licenses),
                "supplier": package.supplier,
                "type": package.kind,
                "cpes": list(package.cpes),
            }
            for package in (sbom.packages if sbom else ())
        ],
    }
    return printable_json(json.dumps(found, ensure_ascii=False, indent=2))
