"""`sealgate policy convert`: policies in another grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = """Write policies in another grammar: Connaisseur's configuration and policies of Portieris in Sealgate's own, and those of
Kyverno, policy-controller and Sealgate in each other's. Where meaning would be lost it is named, and nothing is written
(exit code 2). What is written is YAML on stdout; remarks are on stderr."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("policies", nargs="+", metavar="PATH", help="a file or directory of policies")
    parser.add_argument(
        "--to", choices=("sealgate", "sigstore", "kyverno"), default="sealgate", help="the grammar to write (sealgate)"
    )


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Read everything, convert all of it or nothing."""
    import yaml

    from sealgate.gate import policies
    from sealgate.policy.conversion import grammars

    found = grammars.convert(policies.read(arguments.policies), arguments.to)
    for remark in found.remarks:
        context.err(f"note: {remark}")
    context.out("---\n".join(yaml.safe_dump(each, sort_keys=False, allow_unicode=True) for each in found.documents))
    return 0
