"""`sealgate clean`: delete what is attached to an image."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.registries import add_registry_arguments, images
from sealgate.cli.text import printable

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = """Delete what is attached to an image: signatures, attestations (each in both formats), SBOMs, every referrer, or all
of it. The image stays. It asks first, unless -f is given."""

_WHAT = {
    "signature": "all signatures",
    "attestation": "all attestations",
    "sbom": "all SBOMs",
    "referrer": "everything that refers to it",
    "all": "all signatures, SBOMs, attestations and whatever else refers to it",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument("--type", choices=tuple(_WHAT), default="all", help="what to delete (all)")
    add_flag(parser, "-f", "--force", help="do not ask")
    add_flag(parser, "-y", "--yes", help="as --force")
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of cosign's tags")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Find, ask, delete."""
    if not (arguments.force or arguments.yes):
        context.err(f"WARNING: this will remove {_WHAT[arguments.type]} from the image")
        context.confirm("Are you sure you would like to continue?")
    with ExitStack() as closing:
        removed = context.run(_clean(arguments, context, images(arguments, context, closing)))
    if not removed:
        context.err("Nothing was deleted.")
    return 0


async def _clean(arguments: argparse.Namespace, context: Context, opened: Images) -> int:
    from sealgate.artifacts.clean import delete, find

    image = await opened.open(arguments.image, writable=True)
    doomed = await find(image, arguments.type, prefix=arguments.attachment_tag_prefix)
    for why in doomed.kept:
        context.err(f"warning: {printable(why.message, most=1000)} [{why.code}]")
    return await delete(doomed, told=lambda text: context.err(printable(text, most=1000)))
