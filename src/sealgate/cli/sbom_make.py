"""`sealgate sbom IMAGE`: make an SBOM of an image with Syft; with `--attest` sign and attach it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.keyless import (
    add_keyless_arguments,
    check_keyless_arguments,
    is_keyless,
    load_authors,
    require_services,
)
from sealgate.cli.options import add_flag, duration
from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.make_sbom import Part
    from sealgate.cli.context import Context
    from sealgate.oci.images import Images
    from sealgate.sbom.binding import Subject
    from sealgate.sbom.generator import Format
    from sealgate.signing.attest import Attestation
    from sealgate.signing.author import Author
    from sealgate.signing.sign import SignOptions

HELP = """Make an SBOM of an image with Syft (sealgate[sbom] brings it, or one on the PATH): SPDX 2.3 or CycloneDX 1.6, as
JSON, bound to the image's digest. The image is fetched by Sealgate; Syft gets no network and no credentials. With --attest
the SBOM is signed and attached in one step, of an index to each of its images. Exit code 14: there is no Syft, or it failed."""

_TYPES = {"spdx-json": "spdxjson", "cyclonedx-json": "cyclonedx"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument(
        "--format", choices=("spdx-json", "cyclonedx-json"), default="spdx-json", help="SPDX 2.3 or CycloneDX 1.6"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the SBOM to FILE (stdout)")
    parser.add_argument("--platform", metavar="OS/ARCH", help="of this platform's image of an index")
    parser.add_argument(
        "--sbom-timeout", type=duration, metavar="DURATION", help="how long Syft may take for an image (15m0s)"
    )
    group = parser.add_argument_group("attesting")
    add_flag(group, "--attest", help="sign the SBOM and attach it, as spdxjson or cyclonedx")
    group.add_argument(
        "--key", action="append", default=[], metavar="KEY",
        help="private key file or env://VAR (repeatable: every key signs)",
    )  # fmt: skip
    group.add_argument(
        "--attestation-format", choices=("bundle", "legacy", "both"), help="where to put the attestation (bundle)"
    )
    add_flag(group, "--new-bundle-format", default=True, help="=false is --attestation-format legacy")
    add_flag(group, "--replace", help="attestations of the same type by the same key give way to the new one")
    group.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH", help="sign this hash"
    )
    group.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    group.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    add_keyless_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Make the SBOM, of an index with --attest those of all its images."""
    import os
    import sys

    from sealgate.artifacts import make_sbom
    from sealgate.sbom import generator

    if arguments.attest:
        check_keyless_arguments(arguments)
    elif arguments.key or arguments.identity_token or arguments.signing_config:
        raise UsageError("nothing is signed without --attest", hint="--attest --key cosign.key")
    if not arguments.attest and (arguments.attestation_format or arguments.replace):
        raise UsageError("--attestation-format and --replace belong to --attest")
    options = _options(arguments, context) if arguments.attest else None
    program = generator.find(context.environ, beside=os.path.dirname(sys.executable))
    from sealgate.keys.secrecy import no_core_dump

    with ExitStack() as closing:  # an archive is written back when this ends without an error
        closing.enter_context(no_core_dump())
        opened = images(arguments, context, closing)
        found = context.run(_parts(arguments, opened))
        if options is None or arguments.output:
            make_sbom.only(found, arguments.image)
        # A wrong password is told before the work; a certificate, which lives for minutes, is got after it.
        authors: list[Author] = []
        if options is not None and is_keyless(arguments):
            context.run(require_services(arguments, context))
        elif options is not None:
            authors = context.run(_authors(arguments, context, options))
        made = [(part, _make(part, program, arguments, context)) for part in found]
        if arguments.output:
            from sealgate.cli.sign import write_file

            write_file(arguments.output, made[0][1])
        elif options is None:
            context.out_bytes(made[0][1])
        if options is not None:
            authors = authors or context.run(_authors(arguments, context, options))
            _tell(context.run(_attest(arguments, context, made, authors, options)), context)
    return 0


async def _parts(arguments: argparse.Namespace, opened: Images) -> list[Part]:
    from sealgate.artifacts import make_sbom

    image = await opened.open(arguments.image, writable=arguments.attest)
    return await make_sbom.parts(image, platform=arguments.platform)


def _make(part: Part, program: str, arguments: argparse.Namespace, context: Context) -> bytes:
    """The SBOM of one image. The time in it is `SOURCE_DATE_EPOCH` where that is set."""
    import tempfile
    import time

    from sealgate import limits
    from sealgate.artifacts import make_sbom
    from sealgate.cli.sign import rfc3339
    from sealgate.cli.text import printable

    chosen: Format = arguments.format
    moment = rfc3339(context.environ.get("SOURCE_DATE_EPOCH"), time.time())
    with tempfile.TemporaryDirectory(prefix="sealgate-sbom-") as folder:
        subject: Subject = context.run(make_sbom.fetch(part, folder))
        platform = f" ({printable(part.platform)})" if part.platform else ""
        context.err(f"Reading {printable(part.image.name, most=600)}{platform} with syft")
        return make_sbom.generate(
            subject, folder, largest=part.largest, format=chosen, program=program, environ=context.environ,
            seconds=arguments.sbom_timeout or limits.SBOM_SECONDS, moment=moment,
        )  # fmt: skip


def _options(arguments: argparse.Namespace, context: Context) -> SignOptions:
    import argparse
    import time

    from sealgate.cli.sign import docker_media_types, formats_of, settling_of
    from sealgate.signing.sign import SignOptions

    asked = argparse.Namespace(
        format=arguments.attestation_format, new_bundle_format=arguments.new_bundle_format
    )  # the options of `attest`
    return SignOptions(
        formats=formats_of(asked),
        created=time.time(),
        docker_media_types=docker_media_types(context),
        tag_prefix=arguments.attachment_tag_prefix,
        settling=settling_of(arguments),
    )


async def _authors(arguments: argparse.Namespace, context: Context, options: SignOptions) -> list[Author]:
    from sealgate.signing.keyless import Formats

    formats = Formats("bundle" in options.formats, "legacy" in options.formats)
    return await load_authors(arguments, context, formats)


async def _attest(
    arguments: argparse.Namespace,
    context: Context,
    made: list[tuple[Part, bytes]],
    authors: list[Author],
    options: SignOptions,
) -> list[Attestation]:
    """Attest every image, however the others end. Everything was made, and is worded, before anything is signed."""
    from sealgate.errors import SealgateError
    from sealgate.evidence import attestation
    from sealgate.signing.attest import Wording, attest
    from sealgate.transport import flow

    limit = blob_limit(context)
    kind = _TYPES[arguments.format]
    work = [
        (part.image, Wording(claim=attestation.claim_of(kind, content, moment="", what="the SBOM", limit=limit)))
        for part, content in made
    ]
    outcomes = await flow.settle(
        [
            attest(image, authors, wording, options, replace=arguments.replace, limit=limit, told=context.err)
            for image, wording in work
        ],
        limit=8,
    )
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    return [one for outcome in outcomes if not isinstance(outcome, SealgateError) for one in outcome]


def _tell(made: list[Attestation], context: Context) -> None:
    for one in made:
        what = "Attested" if one.added else "Already attested"
        context.err(f"{what}: {one.image} ({one.predicate_type}, {one.format}, key {one.key})")
