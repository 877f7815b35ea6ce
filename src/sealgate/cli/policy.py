"""`sealgate policy SUBCOMMAND`: what can be done with policies beside judging by them. Each has a module `policy_NAME`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Work with policies."
ACTIONS = {"convert": "write policies in another grammar, where nothing of their meaning is lost"}
"""Subcommands and what `sealgate policy --help` says of them; `sealgate.cli.policy_NAME` has `HELP`, `add_arguments` and `run`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="|".join(ACTIONS))
    for name, about in ACTIONS.items():
        module = importlib.import_module(f"sealgate.cli.policy_{name}")
        module.add_arguments(commands.add_parser(name, description=module.HELP, help=about))


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Run the subcommand."""
    module = importlib.import_module(f"sealgate.cli.policy_{arguments.action}")
    return cast("int", module.run(arguments, context))
