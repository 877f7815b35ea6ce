"""The SBOMs of an image or file, as the commands of `sealgate sbom` read them: loading, verifying, choosing, telling."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.cli.text import printable
from sealgate.cli.trust import add_trust_arguments
from sealgate.cli.verify import add_key_arguments
from sealgate.errors import (
    LimitError,
    NoMatchingSignatureError,
    NoSbomError,
    SealgateError,
    UnavailableError,
    UsageError,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from sealgate.artifacts.sboms import Reading
    from sealgate.cli.context import Context
    from sealgate.digest import Digest
    from sealgate.oci.images import Image, Images
    from sealgate.verification.verify import Wanted

FORMATS = ("spdx", "cyclonedx", "syft")
_WHERE = {
    "sbom-tag": ".sbom tag", "referrer": "referrer", "attestation": "attestation", "buildkit": "BuildKit", "file": "file",
}  # fmt: skip
_ASKING = (
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_oidc_issuer_regexp",
)


class Shown(NamedTuple):
    """One document, and who signed it if that was verified."""

    reading: Reading
    signed_by: str | None

    @property
    def signed(self) -> str:
        """For people: an envelope that nobody verified proves nothing."""
        if self.signed_by is not None:
            return f"signed by {self.signed_by}"
        return "signed, not verified" if self.reading.document.signed else "unsigned"

    @property
    def about(self) -> str:
        """For people; a claim of whoever wrote it."""
        return {None: "does not say", True: "this image", False: "another image"}[self.reading.about]

    def as_json(self, number: int) -> dict[str, Any]:
        """For `-o json`, without the packages."""
        document, sbom, problem = self.reading.document, self.reading.sbom, self.reading.problem
        return {
            "number": number,
            "origin": document.origin,
            "where": document.where,
            "type": document.media_type,
            "image": None if document.image is None else str(document.image),
            "platform": document.platform,
            "signed": "verified" if self.signed_by is not None else "not-verified" if document.signed else "unsigned",
            "signedBy": self.signed_by,
            "about": {None: "unknown", True: "this-image", False: "another-image"}[self.reading.about],
            "format": None if sbom is None else sbom.format,
            "specVersion": None if sbom is None else sbom.spec_version,
            "name": None if sbom is None else sbom.name,
            "subject": None if sbom is None else sbom.subject,
            "digests": [] if sbom is None else sorted(str(digest) for digest in sbom.digests),
            "tools": [] if sbom is None else list(sbom.tools),
            "created": None if sbom is None else sbom.created,
            "packages": None if sbom is None else len(sbom.packages),
            "problem": None if problem is None else {"code": problem.code, "message": problem.message},
        }


class Source(NamedTuple):
    """An image or file, and its documents."""

    name: str
    digest: Digest | None
    documents: tuple[Shown, ...]
    problems: tuple[SealgateError, ...]
    refusal: SealgateError | None
    """With keys: why none of the documents was accepted, if so."""


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """What `load` and `choose` look at."""
    parser.add_argument("--type", choices=FORMATS, help="only documents of this format")
    parser.add_argument("--platform", metavar="OS/ARCH", help="of this platform's image of an index")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT", help="text or json"
    )
    parser.add_argument(
        "--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att and .sbom tags"
    )
    add_key_arguments(parser)
    add_trust_arguments(parser)
    add_registry_arguments(parser)
    parser.set_defaults(annotations=[], check_claims=True, new_bundle_format=True)  # as `verify` has them


def asks_for_signatures(arguments: argparse.Namespace) -> bool:
    """Whether only documents count whose attestation verifies."""
    asked = bool(arguments.key) or any(getattr(arguments, name) for name in _ASKING)
    if not asked and (arguments.require or arguments.deny):
        raise UsageError("--require and --deny belong to --key or --certificate-identity")
    return asked


def is_file(name: str) -> bool:
    """Whether an argument names a file: `-`, `file:PATH`, or a regular file that is there."""
    return name == "-" or name.startswith("file:") or os.path.isfile(name)


def load(names: Sequence[str], arguments: argparse.Namespace, context: Context) -> list[Source]:
    """The documents of each image or file. Raises `SealgateError`s of images that could not be asked for at all."""
    verifying = asks_for_signatures(arguments)
    if verifying and any(is_file(name) for name in names):
        raise UsageError(
            "--key is for images", hint="an attestation in a file is verified by `sealgate verify-blob-attestation`"
        )
    with ExitStack() as closing:
        opened = images(arguments, context, closing)
        return [
            _from_file(name, context) if is_file(name) else context.run(_from_image(name, arguments, context, opened))
            for name in names
        ]


def _from_file(name: str, context: Context) -> Source:
    from sealgate import limits
    from sealgate.artifacts.sboms import reading_of, unwrap
    from sealgate.cli.attach import read_file

    if name == "-":
        content = context.stdin.buffer.read(limits.SBOM_BYTES + 1)
        if len(content) > limits.SBOM_BYTES:
            raise LimitError(f"what stdin brings is larger than {limits.SBOM_BYTES} bytes")
    else:
        content = read_file(name.removeprefix("file:"), limit=limits.SBOM_BYTES)
    document, statement = unwrap(content, where="stdin" if name == "-" else name, limit=limits.SBOM_BYTES)
    reading: Reading = reading_of(document, frozenset(), statement=statement)
    if reading.problem is not None:
        raise reading.problem
    return Source(name, None, (Shown(reading, None),), (), None)


async def _from_image(name: str, arguments: argparse.Namespace, context: Context, opened: Images) -> Source:
    from sealgate import limits
    from sealgate.artifacts.sboms import read_all
    from sealgate.cli.verify import wanted_of

    wanted = await wanted_of(arguments, context) if asks_for_signatures(arguments) else None
    image = await opened.open(name)
    readings: list[Reading] = []
    (found,) = await read_all(
        [image],
        limit=max(limits.SBOM_BYTES, blob_limit(context)),
        take=lambda _, reading: readings.append(reading),
        platform=arguments.platform,
        prefix=arguments.attachment_tag_prefix,
    )
    if isinstance(found, SealgateError):
        raise found
    # Downloads end in whatever order: people get one that stays.
    order = sorted(readings, key=lambda each: (list(_WHERE).index(each.document.origin), each.document.where))
    signers: dict[Digest, str] = {}
    refusal = None
    if wanted is not None:
        signers, refusal = await _verified(image, order, wanted)
    documents = tuple(
        Shown(each, signers.get(each.document.layer) if each.document.layer and _attested(each) else None)
        for each in order
    )
    return Source(image.name, found.digest, documents, found.problems, refusal)


def _attested(reading: Reading) -> bool:
    return reading.document.origin == "attestation" and reading.document.signed


async def _verified(
    image: Image, readings: list[Reading], wanted: Wanted
) -> tuple[dict[Digest, str], SealgateError | None]:
    """Who signed which layer, by the verdicts on the attestations of each image and type; why not, of the first refused."""
    from sealgate.transport import flow
    from sealgate.verification.attestation import Attested
    from sealgate.verification.verify import verify

    asked = dict.fromkeys(
        (each.document.image, each.document.media_type) for each in readings if _attested(each) and each.document.image
    )
    runs = [
        verify(
            image._replace(which=digest),
            wanted._replace(attested=Attested(kind, ()), platform=None, recursive=False),
        )
        for digest, kind in asked
        if digest is not None
    ]
    signers: dict[Digest, str] = {}
    refusal: SealgateError | None = None
    for verdicts in await flow.gather(runs, limit=4):
        for verdict in verdicts:
            if verdict.accepted:
                for report in verdict.signatures:
                    if report.accepted and report.content is not None:
                        signers[report.content] = report.key_name or "a required key"
            elif refusal is None:
                kind = UnavailableError if verdict.outcome == "unknown" else NoMatchingSignatureError
                refusal = kind(verdict.summary, hint=verdict.hint)
    return signers, refusal


def choose(source: Source, arguments: argparse.Namespace, *, number: int | None = None) -> int:
    """The number (from 0) of the document that is meant: verified before signed before unsigned, the image's own first.

    Raises `NoSbomError`, `NoMatchingSignatureError`, `UsageError`, and why the only one could not be read.
    """
    verifying = asks_for_signatures(arguments)
    if number is not None:
        if not 1 <= number <= len(source.documents):
            raise UsageError(f"there is no document {number}", hint=f"{source.name} has {len(source.documents)}")
        chosen = source.documents[number - 1]
        if chosen.reading.problem is not None:
            raise chosen.reading.problem
        if verifying and chosen.signed_by is None:
            raise _unsigned(source, f"document {number} of {source.name} is not signed as asked for")
        return number - 1
    readable = [index for index, each in enumerate(source.documents) if each.reading.sbom is not None]
    wanted = [index for index in readable if arguments.type in {None, _format(source.documents[index])}]
    if not wanted:
        for problem in (*source.problems, *(each.reading.problem for each in source.documents)):
            if isinstance(problem, UnavailableError):
                raise problem
        failed = next((each.reading.problem for each in source.documents if each.reading.problem is not None), None)
        if failed is not None and not readable:
            raise failed
        which = "no SBOM" if arguments.type is None else f"no SBOM of the type {arguments.type}"
        raise NoSbomError(f"{source.name} has {which}", hint="`sealgate tree IMAGE` lists everything that is attached")
    if verifying:
        wanted = [index for index in wanted if source.documents[index].signed_by is not None]
        if not wanted:
            raise _unsigned(source, f"no SBOM of {source.name} is signed as asked for")
    return min(wanted, key=lambda index: _rank(source.documents[index]))


def _unsigned(source: Source, message: str) -> SealgateError:
    return source.refusal or NoMatchingSignatureError(message, hint="unsigned ones are shown without --key")


def _format(shown: Shown) -> str | None:
    return None if shown.reading.sbom is None else shown.reading.sbom.format


def _rank(shown: Shown) -> tuple[bool, bool, bool]:
    return shown.signed_by is None, shown.reading.about is False, not shown.reading.document.signed


def tell(source: Source, chosen: int, context: Context) -> None:
    """What a person should know about the document that was taken, on stderr."""
    shown = source.documents[chosen]
    if shown.reading.about is False:
        context.err(f"note: {printable(shown.reading.document.where, most=600)} says that it is about another image")
    others = len(source.documents) - 1
    if others:
        also = "document" if others == 1 else "documents"
        context.err(
            f"note: {printable(source.name, most=600)} has {others} other {also}; `sealgate sbom show` lists them"
        )


def complain(source: Source, context: Context) -> int:
    """What could not be asked or read, on stderr; the exit code that this asks for."""
    problems = [*source.problems, *(each.reading.problem for each in source.documents if each.reading.problem)]
    for code, message in dict.fromkeys((problem.code, problem.message) for problem in problems):
        context.stderr.write(f"Error: {printable(message, most=2000)} [{code}]\n")
    if any(isinstance(problem, UnavailableError) for problem in problems):
        context.stderr.write("hint: nobody knows what else is attached; ask again later\n")
        return UnavailableError.exit_code
    return 0


def where(shown: Shown) -> str:
    """For people: `attestation at registry/app@sha256:…`."""
    document = shown.reading.document
    platform = f" ({document.platform})" if document.platform else ""
    return printable(f"{_WHERE[document.origin]} at {document.where}{platform}", most=600)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, each as wide as its widest cell up to a bound; the last is not filled up."""
    widths = [min(max(len(row[at]) for row in (head, *rows)), 60) for at in range(len(head) - 1)]
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])).rstrip()
        for row in (head, *rows)
    ]
