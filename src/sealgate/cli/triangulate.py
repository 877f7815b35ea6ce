"""`sealgate triangulate`: where cosign keeps what is attached to an image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.registries import add_registry_arguments, images

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = """Print the tag under which cosign's legacy format keeps an image's signatures, attestations or SBOM, or its digest.
What is in the bundle format is a referrer and has no tag: `sealgate tree` lists everything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument(
        "--type", choices=("signature", "attestation", "sbom", "digest"), default="signature",
        help="what to look for (signature)",
    )  # fmt: skip
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the tag")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print one line."""
    with ExitStack() as closing:
        context.out(context.run(_triangulate(arguments, images(arguments, context, closing))))
    return 0


async def _triangulate(arguments: argparse.Namespace, opened: Images) -> str:
    from sealgate.artifacts.triangulate import triangulate

    image = await opened.open(arguments.image)
    return await triangulate(image, arguments.type, prefix=arguments.attachment_tag_prefix)
