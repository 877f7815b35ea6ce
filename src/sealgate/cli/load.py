"""`sealgate load`: from a directory that `save` wrote, ours or cosign's, to a registry."""

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

HELP = """Load the image of an OCI layout, with everything attached, to a registry; bundles and indexes included. The layout
may be of `sealgate save`, of `cosign save` or of another tool. A tag that was something else is moved, as cosign does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("image", metavar="IMAGE", help="where to: registry/repository[:tag]")
    parser.add_argument("--dir", required=True, metavar="DIR", help="the directory of the layout")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Load one image."""
    from sealgate.cli.transfer import Progress

    progress = Progress(context)
    with ExitStack() as closing:
        copied = context.run(_load(arguments, images(arguments, context, closing), progress))
    progress.end(copied, "Loaded to")
    return 0


async def _load(arguments: argparse.Namespace, opened: Images, progress: Progress) -> Copied:
    from sealgate.artifacts.save import load
    from sealgate.oci.layout import LayoutStore

    target = await opened.open_target(arguments.image)
    return await load(LayoutStore(arguments.dir), target, told=progress.told, progress=progress.moving)
