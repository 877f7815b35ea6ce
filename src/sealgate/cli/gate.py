"""`sealgate gate`: judge what is to be deployed by policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.policies import add_policy_arguments, index_of, settings_of
from sealgate.cli.registries import add_registry_arguments, session
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.gate.gating import Gated
    from sealgate.gate.manifests import Deployed, Manifest

HELP = """Judge every image of rendered manifests by policies: Kubernetes objects (YAML and JSON streams, what kustomize and Helm
render), Compose files and Dockerfiles. Exit codes: 0 everything is admitted, 16 refused, 14 could not ask, 2 wrong usage or a
policy that cannot be read. The policies, the engine and the words are those of the admission webhook."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("manifests", nargs="+", metavar="MANIFEST", help="a file, a directory, or - for stdin")
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "sarif", "junit"), default="text", help="what stdout has (text)"
    )
    parser.add_argument(
        "-n", "--namespace", default="default", metavar="NAME", help="of objects that do not say theirs (default)"
    )
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="of Dockerfiles, as given to the build"
    )
    add_flag(
        parser,
        "--write",
        help="write the digests that were verified into the manifests; of stdin the result goes to stdout",
    )
    add_policy_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Read everything, judge it, say so; write only when all of it is admitted."""
    from sealgate.cli import decisions
    from sealgate.gate import gating, manifests

    index = index_of(arguments, context, context.run(settings_of(arguments, context)))
    stdin = context.stdin.buffer.read(_limit() + 1) if "-" in arguments.manifests else None
    if arguments.manifests.count("-") > 1:
        raise UsageError("stdin is one manifest")
    files = list(manifests.read_files(arguments.manifests, stdin))
    build_args = dict(_pair(each) for each in arguments.build_arg)
    found = [
        each for file in files for each in manifests.objects(file, namespace=arguments.namespace, build_args=build_args)
    ]
    found = manifests.with_extracted(found, index.policies)
    gated = context.run(_gate(arguments, context, index, found))
    for each in found:
        if not each.known and each.images:
            context.err(
                f"note: {each.workload.title} is of a kind that is not known; images were found in it by their form"
            )
    if not gated:
        context.err("note: there is no image in these manifests; nothing was judged")
    code = gating.exit_code(gated)
    if arguments.write and code == 0:
        _write(files, gated, context)
    if not (arguments.write and stdin is not None):
        writers = {"json": decisions.document, "sarif": decisions.sarif, "junit": decisions.junit}
        if arguments.output == "text":
            context.out(decisions.text(gated))
        else:
            context.out(writers[arguments.output](gated))
    context.err(decisions.people(gated, context.style(), verbose=context.verbose))
    return code


async def _gate(arguments: argparse.Namespace, context: Context, index: object, found: list[Deployed]) -> list[Gated]:
    import time

    from sealgate.gate import gating
    from sealgate.policy.evaluate import Index
    from sealgate.policy.judging import StoreJudge

    assert isinstance(index, Index)  # noqa: S101 - made by index_of
    judge = StoreJudge(session(arguments, context))
    return await gating.gate(found, index, judge, clock=time.time)


def _write(files: list[Manifest], gated: list[Gated], context: Context) -> None:
    from sealgate.gate import gating

    made = [(file, gating.pinned(file, gated)) for file in files if file.form != "dockerfile"]
    for file, data in made:
        if file.name == "-":
            context.out_bytes(data)
        elif data != file.raw:
            _replace(file.name, data)
            context.err(f"Wrote {file.name}")


def _replace(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    import os
    import tempfile

    folder = os.path.dirname(os.path.abspath(path))
    try:
        mode = os.stat(path).st_mode & 0o7777
        handle, part = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(part, mode)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _limit() -> int:
    from sealgate import limits

    return limits.WORKLOAD_BYTES


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--build-arg {text[:60]!a} is not NAME=VALUE")
    return name, value
