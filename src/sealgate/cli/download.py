"""`sealgate download signature|attestation|sbom`: what is attached to an image, as it is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.cli.text import printable
from sealgate.errors import UnavailableError

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.attach_sbom import Sbom
    from sealgate.artifacts.download import Downloaded
    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = "Download what is attached to an image. Nothing is verified."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`signature IMAGE`, `attestation IMAGE`, `sbom IMAGE` and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="signature|attestation|sbom")
    signature = commands.add_parser(
        "signature",
        description="Print every signature of an image, one JSON document a line, as cosign does: bundles as they are, "
        "legacy signatures with their payload. Exit codes: 10 there is none, 14 not everything could be asked for.",
        help="download signatures",
    )
    signature.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    signature.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sig tag")
    add_registry_arguments(signature)
    attestation = commands.add_parser(
        "attestation",
        description="Print every attestation of an image, one JSON document a line, as cosign does: bundles as they are, "
        "legacy attestations as DSSE envelopes. Exit codes: 10 there is none, 14 not everything could be asked for.",
        help="download attestations",
    )
    attestation.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    attestation.add_argument("--predicate-type", metavar="TYPE", help="only of this type: a URI or cosign's short name")
    attestation.add_argument("--platform", metavar="OS/ARCH", help="of this platform's image of an index")
    add_flag(
        attestation,
        "--unsigned",
        help="also in-toto Statements that nobody signed: BuildKit's in an index, bare referrers",
    )
    attestation.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    add_registry_arguments(attestation)
    sbom = commands.add_parser(
        "sbom",
        description="Print the SBOM that is attached to an image, as it is: under cosign's .sbom tag or as a referrer of "
        "cosign or another tool. It is signed by nobody. `sealgate sbom show` reads SBOMs wherever they are, attestations "
        "too. Exit codes: 10 there is none, 14 not everything could be asked for.",
        help="download an unsigned SBOM",
    )
    sbom.add_argument("image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE")
    sbom.add_argument("--platform", metavar="OS/ARCH", help="of this platform's image of an index")
    sbom.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sbom tag")
    add_registry_arguments(sbom)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the lines; what could not be brought goes to stderr."""
    if arguments.action == "sbom":
        return _run_sbom(arguments, context)
    with ExitStack() as closing:
        found = context.run(_download(arguments, context, images(arguments, context, closing)))
    for line in found.lines:
        context.out(line)
    for problem in found.problems:
        context.stderr.write(f"Error: {printable(problem.message, most=2000)} [{problem.code}]\n")
    return UnavailableError.exit_code if any(isinstance(each, UnavailableError) for each in found.problems) else 0


def _run_sbom(arguments: argparse.Namespace, context: Context) -> int:
    from sealgate.cli.attach import DEPRECATED

    context.err(DEPRECATED)
    context.err(
        "WARNING: nothing says who made this SBOM. `sealgate verify-attestation --type spdxjson` gives one that is signed."
    )
    with ExitStack() as closing:
        found = context.run(_sbom(arguments, context, images(arguments, context, closing)))
    context.err(f"Found SBOM of media type: {printable(found.media_type)}")
    for other in found.others:
        context.err(f"note: there is another one: {printable(other, most=600)}")
    context.out_bytes(found.content)
    return 0


async def _sbom(arguments: argparse.Namespace, context: Context, opened: Images) -> Sbom:
    from sealgate.artifacts import attach_sbom
    from sealgate.cli.attach import sbom_limit

    image = await opened.open(arguments.image)
    return await attach_sbom.fetch(
        image, platform=arguments.platform, prefix=arguments.attachment_tag_prefix, limit=sbom_limit(context)
    )


async def _download(arguments: argparse.Namespace, context: Context, opened: Images) -> Downloaded:
    from sealgate.artifacts.download import download_attestations, download_signatures

    image = await opened.open(arguments.image)
    if arguments.action == "attestation":
        from sealgate.evidence.predicates import type_of

        return await download_attestations(
            image,
            predicate_type=None if arguments.predicate_type is None else type_of(arguments.predicate_type),
            platform=arguments.platform,
            unsigned=arguments.unsigned,
            prefix=arguments.attachment_tag_prefix,
            blob_limit=blob_limit(context),
        )
    return await download_signatures(image, prefix=arguments.attachment_tag_prefix, blob_limit=blob_limit(context))
