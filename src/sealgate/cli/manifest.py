"""`sealgate manifest verify`: every image of a Kubernetes manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.verify import add_verify_options

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Verify every image of a Kubernetes manifest."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`verify FILE…` and its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="verify")
    verify = commands.add_parser(
        "verify",
        description="Verify every image of Kubernetes manifests (YAML, several documents, or JSON): containers, init and "
        "ephemeral containers and image volumes of Pods and of everything that makes Pods. Lists of containers in objects of "
        "other kinds are found by their form. What cannot be read for sure is refused. Outputs and exit codes are those of "
        "verify.",
        help="verify every image",
    )
    verify.add_argument("files", nargs="+", metavar="FILE", help="manifest; - is stdin")
    add_verify_options(verify)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Find the images of every file, then verify them all."""
    from sealgate.cli import workloads
    from sealgate.cli.text import printable
    from sealgate.workloads import kubernetes

    images: list[tuple[str, str]] = []
    for path in arguments.files:
        found = kubernetes.find(workloads.read(path, context), what=path)
        images += [(each.image, f"{path}: {each.where}") for each in found.images]
        for name in found.searched:
            context.err(
                f"note: {printable(name)} is of a kind that is not known; images were found in it by their form"
            )
    return workloads.verify(images, arguments, context, what=", ".join(arguments.files))
