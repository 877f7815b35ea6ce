"""Options that say where images are judged: in registries, or in layouts under the names of registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.registries import session
from sealgate.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sealgate.cli.context import Context
    from sealgate.policy.judging import Stores


def add_layout_arguments(parser: ArgumentParser) -> None:
    """`--layout` and `--offline`."""
    group = parser.add_argument_group("layouts")
    group.add_argument(
        "--layout", action="append", default=[], metavar="REPOSITORY=DIR",
        help="the OCI layout that stands for a repository: registry.example.com/shop/app=oci:DIR (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--offline", metavar="DIR",
        help="ask no registry: DIR/HOST/REPOSITORY/ is an OCI layout for each repository; what is not there could not be asked",
    )  # fmt: skip


def stores_of(arguments: Namespace, context: Context) -> Stores:
    """Where images are. Raises `UsageError`, `NotFoundError`."""
    if not arguments.layout and arguments.offline is None:
        return session(arguments, context)
    from sealgate.gate.layouts import Layouts
    from sealgate.oci.reference import parse_repository

    named: dict[str, str] = {}
    for text in arguments.layout:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise UsageError(f"--layout {text[:80]!a} is not REPOSITORY=DIR", hint="registry.example.com/app=oci:DIR")
        key = parse_repository(name).name
        if key in named:
            raise UsageError(f"--layout names {key} twice")
        named[key] = _directory(path.removeprefix("oci:"))
    if arguments.offline is not None:
        return Layouts(directory=_directory(arguments.offline), named=named)
    return Layouts(named=named, otherwise=session(arguments, context))


def _directory(path: str) -> str:
    import os

    if not os.path.isdir(path):
        raise NotFoundError(f"there is no directory {path}")
    return path
