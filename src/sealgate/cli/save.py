"""`sealgate save`: an image with everything attached, as a directory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.registries import add_registry_arguments, images

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.copy import Copied
    from sealgate.cli.context import Context
    from sealgate.cli.transfer import Progress
    from sealgate.oci.images import Images

HELP = """Save an image with everything attached to it to an OCI layout, as `cosign save` does: for another network, for
`sealgate load`, `cosign load`, `sealgate verify oci:DIR` and `cosign verify --local-image DIR`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument("--dir", required=True, metavar="DIR", help="the directory, new or of the same image")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Save one image."""
    from sealgate.cli.transfer import Progress

    progress = Progress(context)
    with ExitStack() as closing:
        copied = context.run(_save(arguments, images(arguments, context, closing), progress))
    progress.end(copied, "Saved to")
    return 0


async def _save(arguments: argparse.Namespace, opened: Images, progress: Progress) -> Copied:
    from sealgate.artifacts.save import save
    from sealgate.oci.layout import LayoutStore

    source = await opened.open(arguments.image)
    return await save(source, LayoutStore(arguments.dir), told=progress.told, progress=progress.moving)
