"""`sealgate env`: the environment variables that are read, and what they are set to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = (
    "List the environment variables that are read, what they do and what they are set to. Secrets are shown as ******."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """cosign's options."""
    add_flag(parser, "--show-descriptions", default=True, help="=false leaves out what they do")
    add_flag(parser, "--show-sensitive-values", help="show secrets too")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the table, as cosign prints its own."""
    from sealgate.cli.environment import VARIABLES
    from sealgate.cli.text import printable

    for variable in sorted(VARIABLES):
        if arguments.show_descriptions:
            context.out(f"# {variable.name} {variable.description}\n# Expects: {variable.expects}")
        value = context.environ.get(variable.name, "")
        if not value and variable.also_lower:
            value = context.environ.get(variable.name.lower(), "")
        if value and variable.secret and not arguments.show_sensitive_values:
            value = "******"
        context.out(f"{variable.name}={printable(value, most=32_768)}")
    return 0
