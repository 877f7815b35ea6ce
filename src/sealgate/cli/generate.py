"""`sealgate generate`: the payload that cosign's legacy format signs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.registries import add_registry_arguments, images, parse_annotations

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = """Print the payload that would be signed for an image in cosign's legacy format, to be signed by other means and
attached with `sealgate attach signature`. For an image given by digest no registry is asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument(
        "-a", "--annotations", action="append", default=[], metavar="KEY=VALUE", help="sign this with the image"
    )
    parser.add_argument("--sign-container-identity", metavar="NAME", help="the docker-reference to sign")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the payload, and no newline: it would be signed too."""
    with ExitStack() as closing:
        payload = context.run(_generate(arguments, images(arguments, context, closing)))
    context.out(payload.decode("utf-8"), end="")
    return 0


async def _generate(arguments: argparse.Namespace, opened: Images) -> bytes:
    from sealgate.artifacts.triangulate import generate

    image = await opened.open(arguments.image)
    annotations = dict(parse_annotations(arguments.annotations))
    return await generate(image, annotations, container_identity=arguments.sign_container_identity)
