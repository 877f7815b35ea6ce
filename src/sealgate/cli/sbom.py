"""`sealgate sbom`: make SBOMs, and read those that are attached. The commands are `sbom_make`, `sbom_show` and so on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.cli.options import CommandParser

HELP = """Make an SBOM of an image, show what attached ones say, look for a package in many images, compare two.
`sealgate sbom IMAGE` makes one."""

COMMANDS = {
    "make": "make an SBOM of an image with Syft; `sealgate sbom IMAGE` does it too",
    "show": "show the SBOMs of an image, or one in a file",
    "find": "look for a package in the SBOMs of images",
    "diff": "compare the SBOMs of two images or files",
}


def add_arguments(parser: CommandParser) -> None:
    """Every command with its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="|".join(COMMANDS))
    parser.default_command = "make"
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"sealgate.cli.sbom_{name}")
        module.add_arguments(commands.add_parser(name, description=module.HELP, help=text))


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Run the command."""
    return int(importlib.import_module(f"sealgate.cli.sbom_{arguments.action}").run(arguments, context))
