"""`sealgate logout`: forget the credentials of a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = (
    "Forget the credentials of a registry (Docker Hub, when none is named): in docker's config.json and in its helper."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The registry."""
    parser.add_argument("registry", nargs="?", metavar="REGISTRY", help="host[:port] (Docker Hub)")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Erase; that there was nothing is no failure."""
    from sealgate.oci import credentials as stored
    from sealgate.oci.reference import HUB, parse_registry

    registry = parse_registry(arguments.registry) if arguments.registry is not None else HUB
    if stored.erase_login(stored.config_path(context.environ), registry, environ=context.environ):
        context.err(f"Removed the credentials of {registry}")
    else:
        context.err(f"Not logged in to {registry}")
    return 0
