"""`sealgate copy`: an image with everything attached, from one place to another."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag, duration
from sealgate.cli.registries import add_registry_arguments, images
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.copy import Copied, CopyOptions
    from sealgate.cli.context import Context
    from sealgate.cli.transfer import Progress
    from sealgate.oci.images import Images

HELP = """Copy an image with everything attached to it (signatures, attestations, SBOMs, whatever refers to it), an index with
all its images and what is attached to them, between registries, layouts and archives. Signatures that are at the target
stay. The tag is set last. Copying again goes on where it broke off."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    places = "registry/repository[:tag], oci:DIR[:tag] or oci-archive:FILE[:tag]"
    parser.add_argument("source", metavar="SOURCE", help=f"{places}, also with @digest")
    parser.add_argument("target", metavar="TARGET", help=places)
    add_flag(parser, "-f", "--force", help="move the target's tag when it points to something else")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KINDS",
        help="only what is attached: sig, att, sbom or referrer, comma-separated; the tag is not set",
    )  # fmt: skip
    add_flag(parser, "--sig-only", help="as --only=sig")
    parser.add_argument("--platform", metavar="OS/ARCH", help="copy this platform's image of an index")
    add_flag(parser, "-r", "--recursive", default=True, help="accepted; an index is always copied whole")
    parser.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Copy one image."""
    from sealgate.cli.transfer import Progress

    if not arguments.recursive:
        raise UsageError("an index is copied whole or not at all", hint="--platform OS/ARCH copies one image of it")
    options = _options(arguments)
    progress = Progress(context)
    with ExitStack() as closing:
        copied = context.run(_copy(arguments, options, images(arguments, context, closing), progress))
    progress.end(copied, "Copied to")
    return 0


def _options(arguments: argparse.Namespace) -> CopyOptions:
    from sealgate.artifacts.copy import KINDS, CopyOptions
    from sealgate.signing.publish import Settling

    only = {kind.strip() for text in arguments.only for kind in text.split(",") if kind.strip()}
    if arguments.sig_only:
        only.add("sig")
    if not only.issubset(KINDS):
        raise UsageError(f"--only takes {', '.join(KINDS)}, not {', '.join(sorted(only.difference(KINDS)))[:100]}")
    settling = Settling()
    if arguments.settle is not None:
        settling = Settling(alone=arguments.settle, contended=arguments.settle)
    return CopyOptions(
        force=arguments.force, only=frozenset(only) or None, platform=arguments.platform, settling=settling
    )


async def _copy(arguments: argparse.Namespace, options: CopyOptions, opened: Images, progress: Progress) -> Copied:
    from sealgate.artifacts.copy import copy

    source = await opened.open(arguments.source)
    target = await opened.open_target(arguments.target)
    return await copy(source, target, options, told=progress.told, progress=progress.moving)
