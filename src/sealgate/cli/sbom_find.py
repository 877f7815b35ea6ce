"""`sealgate sbom find`: which of many images have a package, by the SBOMs that are attached to them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.cli.sbom_documents import table
from sealgate.cli.text import printable, printable_json
from sealgate.errors import ContentError, LimitError, NoSbomError, SealgateError, UnavailableError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from sealgate.artifacts.sboms import Found, Reading
    from sealgate.cli.context import Context
    from sealgate.oci.images import Image, Images
    from sealgate.sbom.document import Package

HELP = """Look for a package in the SBOMs attached to images, signed or not; nothing is verified. PATTERN comes last: `log4j` is a
part of a name or purl, `log4j-*` a whole name, `log4j-core@2.14.1` or `@2.*` ask for the version too, `pkg:maven/org.example/it`
is a purl, of which what is left out may be anything. Exit codes: 0 found, 1 not found, 10 not found, but an image has no SBOM
that can be read, 14 not everything could be asked for (what was found is printed all the same)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "words", nargs="+", metavar="IMAGE… PATTERN",
        help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE, and what to look for",
    )  # fmt: skip
    parser.add_argument("--images-from", metavar="FILE", help="more images, one a line; - is stdin; # begins a comment")
    parser.add_argument("--platform", metavar="OS/ARCH", help="of this platform's image of each index")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT", help="text or json"
    )
    parser.add_argument(
        "--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att and .sbom tags"
    )
    add_registry_arguments(parser)


class _Match(NamedTuple):
    """A package that is meant."""

    name: str
    version: str
    purl: str
    kind: str


class _Result:
    """What is known of one image."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.digest: str | None = None
        self.read = 0
        self.problems: list[SealgateError] = []
        self._found: list[str] = []

    def keep(self, reading: Reading, packages: list[Package]) -> None:
        """Note the packages of one document, as one text: a few of its many small objects would keep the memory of all."""
        import json

        matches = [(each.name, each.version, each.purl, each.kind) for each in packages]
        self._found.append(json.dumps([_document(reading), matches]))

    def matches(self) -> dict[_Match, list[dict[str, Any]]]:
        """Packages in a stable order, and the documents that have them."""
        import json

        found: dict[_Match, list[dict[str, Any]]] = {}
        for text in self._found:
            document, matches = json.loads(text)
            for match in dict.fromkeys(_Match(*each) for each in matches):
                found.setdefault(match, []).append(document)
        for documents in found.values():
            documents.sort(key=lambda each: (each["origin"], each["where"]))
        return dict(sorted(found.items()))

    @property
    def found(self) -> bool:
        """Whether a package is there."""
        return bool(self._found)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Look in every image; every one is named that has it, and every one of which nothing is known."""
    from sealgate.sbom.matching import matcher

    *names, pattern = arguments.words
    if arguments.images_from is not None:
        names += _names(arguments.images_from, context)
    if not names:
        raise UsageError("no image to look in", hint="sealgate sbom find IMAGE… PATTERN")
    if len(names) > limits.REFERENCES:
        raise LimitError(f"more than {limits.REFERENCES} images")
    meets = matcher(pattern)
    _let_go_of_memory()
    results = [_Result(name) for name in names]
    with ExitStack() as closing:
        context.run(_look(arguments, context, images(arguments, context, closing), results, meets))
    if arguments.output == "json":
        context.out(_json(pattern, results))
    elif any(result.found for result in results):
        context.out("\n".join(_text(results)))
    return _end(pattern, results, context)


def _let_go_of_memory() -> None:
    """Have the allocator of glibc give large blocks back when they are free: the documents of one image after the other
    would pile up in it. Measured with 14 MB each: a third of the memory.
    """
    import ctypes

    largest_kept, pools = -3, -8  # M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h
    try:
        library = ctypes.CDLL(None)
        library.mallopt(largest_kept, 256 * 1024)
        library.mallopt(pools, 1)
    except (AttributeError, OSError, TypeError):  # another C library: nothing is lost
        return


async def _look(
    arguments: argparse.Namespace,
    context: Context,
    opened: Images,
    results: list[_Result],
    meets: Callable[[Package], bool],
) -> None:
    from sealgate.artifacts.sboms import read_all

    places: list[tuple[Image, _Result]] = []
    for result in results:
        try:
            places.append((await opened.open(result.name), result))
        except UsageError:
            raise
        except SealgateError as error:
            result.problems.append(error)
    count = 0

    def take(index: int, reading: Reading) -> None:
        nonlocal count
        result = places[index][1]
        if reading.sbom is None:
            result.problems.append(reading.problem or ContentError("an SBOM could not be read"))
            return
        result.read += 1
        meant = [package for package in reading.sbom.packages if meets(package)]
        count += len(meant)
        if count > limits.SBOM_PACKAGES:
            raise LimitError(f"more than {limits.SBOM_PACKAGES} packages are meant", hint="say more of the name")
        if meant:
            result.keep(reading, meant)

    found: list[Found | SealgateError] = await read_all(
        [image for image, _ in places],
        limit=max(limits.SBOM_BYTES, blob_limit(context)),
        take=take,
        platform=arguments.platform,
        prefix=arguments.attachment_tag_prefix,
    )
    for (_, result), outcome in zip(places, found, strict=True):
        if isinstance(outcome, SealgateError):
            result.problems.append(outcome)
        else:
            result.digest = str(outcome.digest)
            result.problems += outcome.problems


_LIST_BYTES = 4 * 1024 * 1024


def _names(path: str, context: Context) -> list[str]:
    """`--images-from`."""
    from sealgate.cli.attach import read_file

    if path == "-":
        text = context.stdin.read(_LIST_BYTES + 1)
        if len(text) > _LIST_BYTES:
            raise LimitError(f"what stdin brings is longer than {_LIST_BYTES} characters")
    else:
        text = read_file(path, limit=_LIST_BYTES).decode("utf-8", "replace")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _text(results: list[_Result]) -> list[str]:
    rows = [
        (
            printable(result.name, most=600),
            printable(package.name),
            printable(package.version),
            "unsigned" if all(each["signed"] == "unsigned" for each in documents) else "signed, not verified",
            printable(package.purl, most=600),
        )
        for result in results
        for package, documents in result.matches().items()
    ]
    return table(("IMAGE", "NAME", "VERSION", "SBOM", "PURL"), rows)


def _json(pattern: str, results: list[_Result]) -> str:
    import json

    found = {
        "pattern": pattern,
        "images": [
            {
                "image": result.name,
                "digest": result.digest,
                "documents": result.read,
                "matches": [
                    {
                        "name": package.name,
                        "version": package.version,
                        "purl": package.purl,
                        "type": package.kind,
                        "documents": documents,
                    }
                    for package, documents in result.matches().items()
                ],
                "problems": [{"code": problem.code, "message": problem.message} for problem in result.problems],
            }
            for result in results
        ],
    }
    return printable_json(json.dumps(found, ensure_ascii=False, indent=2))


def _document(reading: Reading) -> dict[str, Any]:
    document, sbom = reading.document, reading.sbom
    return {
        "origin": document.origin,
        "where": document.where,
        "platform": document.platform,
        "signed": "not-verified" if document.signed else "unsigned",
        "format": None if sbom is None else sbom.format,
    }


def _end(pattern: str, results: list[_Result], context: Context) -> int:
    """Say what is not known; the exit code."""
    unavailable = unknown = False
    for result in results:
        name = printable(result.name, most=600)
        for code, message in dict.fromkeys((problem.code, problem.message) for problem in result.problems):
            context.stderr.write(f"Error: {name}: {printable(message, most=2000)} [{code}]\n")
        unavailable |= any(isinstance(problem, UnavailableError) for problem in result.problems)
        if not result.read:  # nobody knows what is in it
            unknown = True
            if not result.problems:
                context.stderr.write(f"Error: {name} has no SBOM: nobody knows what is in it [{NoSbomError.code}]\n")
    if unavailable:
        context.stderr.write("hint: some could not be asked; nobody knows what is in them. Ask again later\n")
        return UnavailableError.exit_code
    if any(result.found for result in results):
        return 0
    if unknown:
        return NoSbomError.exit_code
    context.err(f"{printable(pattern)} is in none of {len(results)} images, by their SBOMs")
    return 1
