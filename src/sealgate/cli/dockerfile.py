"""`sealgate dockerfile verify`: every image that a Dockerfile builds from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.verify import add_verify_options
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = "Verify every image that a Dockerfile builds from."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`verify FILE` and its options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="verify")
    verify = commands.add_parser(
        "verify",
        description="Verify every image that a Dockerfile builds from: FROM, COPY --from and RUN --mount=from. ARGs are "
        "replaced as the build does; what cannot be read for sure is refused. Contexts that a build names on its command "
        "line are not seen. Outputs and exit codes are those of verify.",
        help="verify every image",
    )
    verify.add_argument("file", metavar="FILE", help="Dockerfile; - is stdin")
    add_flag(verify, "--base-image-only", help="verify only the image below the last stage")
    verify.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME[=VALUE]",
        help="as given to the build (repeatable); without a value it is that of the environment",
    )  # fmt: skip
    add_verify_options(verify)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Find the images, then verify them."""
    from sealgate.cli import workloads
    from sealgate.cli.text import printable
    from sealgate.workloads import dockerfile

    what = arguments.file
    found = dockerfile.find(workloads.read(what, context), _build_args(arguments.build_arg, context), what=what)
    if found.frontend is not None:
        context.err(
            f"note: the builder also runs {printable(found.frontend)}, the language of the file; it is not verified"
        )
    images = found.images
    if arguments.base_image_only:
        images = () if found.base is None else (found.base,)
    places = [(each.image, f"{what}, line {each.line}: {each.instruction}") for each in images]
    return workloads.verify(places, arguments, context, what=what)


def _build_args(values: list[str], context: Context) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name:
            raise UsageError("--build-arg without a name", hint="--build-arg NAME=VALUE")
        if equals:
            found[name] = text
        elif name in context.environ:
            found[name] = context.environ[name]
    return found
