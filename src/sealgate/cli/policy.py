"""`sealgate policy`: work on policies before they judge anything. The commands are `policy_lint`, `policy_explain` and so on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.cli.options import CommandParser

HELP = "Look for mistakes and weaknesses in policies, show what they would do and why, and test them."

COMMANDS = {
    "lint": "look for what cannot be read and for what weakens policies",
    "explain": "show what would become of an image or a workload, and why",
    "test": "run tests of policies",
}


def add_arguments(parser: CommandParser) -> None:
    """Every command with its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="|".join(COMMANDS))
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"sealgate.cli.policy_{name}")
        module.add_arguments(commands.add_parser(name, description=module.HELP, help=text))


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Run the command."""
    return int(importlib.import_module(f"sealgate.cli.policy_{arguments.action}").run(arguments, context))
