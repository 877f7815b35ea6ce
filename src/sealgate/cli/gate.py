"""`sealgate gate`: judge what is to be deployed by policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.gating import add_gate_arguments, gate_of
from sealgate.cli.options import add_flag
from sealgate.cli.places import add_layout_arguments, stores_of
from sealgate.cli.policies import add_policy_arguments, index_of, settings_of
from sealgate.cli.registries import add_registry_arguments
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.gate.gating import Gated
    from sealgate.gate.manifests import Deployed, Manifest
    from sealgate.policy.index import Index

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
    add_layout_arguments(parser)
    add_registry_arguments(parser)
    add_gate_arguments(parser, report="--scan-report")


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Read everything, judge it, say so; write only when all of it is admitted."""
    from sealgate.cli import decisions
    from sealgate.gate import gating

    if arguments.manifests.count("-") + arguments.scan_report.count("-") > 1:
        raise UsageError("stdin is one manifest, or one report")
    index = index_of(arguments, context, context.run(settings_of(arguments, context)))
    files, found = deployed(arguments, context, index)
    gated = _gate(arguments, context, index, found)
    for each in found:
        if not each.known and any(image.pointer for image in each.images):  # those of an extractor have none
            context.err(
                f"note: {each.workload.title} is of a kind that is not known; images were found in it by their form"
            )
    if not gated:
        context.err("note: there is no image in these manifests; nothing was judged")
    code = gating.exit_code(gated)
    if arguments.write and code == 0:
        _write(files, gated, context)
    if not (arguments.write and "-" in arguments.manifests):
        writers = {"json": decisions.document, "sarif": decisions.sarif, "junit": decisions.junit}
        if arguments.output != "text":
            context.out(writers[arguments.output](gated))
        elif gated:
            context.out(decisions.text(gated))
    context.err(decisions.people(gated, context.style(), verbose=context.verbose))
    return code


def deployed(arguments: argparse.Namespace, context: Context, index: Index) -> tuple[list[Manifest], list[Deployed]]:
    """The files that are named, and every object in them."""
    from sealgate import limits
    from sealgate.gate import manifests

    stdin = context.stdin.buffer.read(limits.WORKLOAD_BYTES + 1) if "-" in arguments.manifests else None
    files = list(manifests.read_files(arguments.manifests, stdin))
    build_args = dict(_pair(each) for each in arguments.build_arg)
    found = [
        each for file in files for each in manifests.objects(file, namespace=arguments.namespace, build_args=build_args)
    ]
    return files, manifests.with_extracted(manifests.with_namespaces(found), index.policies)


def _gate(arguments: argparse.Namespace, context: Context, index: Index, found: list[Deployed]) -> list[Gated]:
    import time

    from sealgate.gate import gating
    from sealgate.policy.judging import StoreJudge

    reports = gate_of(arguments, context)
    stores = stores_of(arguments, context)
    gated = context.run(gating.gate(found, index, StoreJudge(stores), clock=time.time, writes=arguments.write))
    if reports is None:
        return gated
    from sealgate.gate import scanning

    scanned = context.run(scanning.scan(gated, stores, reports))
    for note in scanned.notes:
        context.err(f"note: {note}")
    return scanned.gated


def _write(files: list[Manifest], gated: list[Gated], context: Context) -> None:
    from sealgate.gate import gating

    made = [(file, gating.pinned(file, gated)) for file in files if file.form != "dockerfile"]
    for file in files:
        if file.form == "dockerfile":
            context.err(f"note: {file.name} stays as it is: digests are written into manifests and Compose files only")
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

    path = os.path.realpath(path)
    try:
        mode = os.stat(path).st_mode & 0o7777
        handle, part = tempfile.mkstemp(dir=os.path.dirname(path))
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


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--build-arg {text[:60]!a} is not NAME=VALUE")
    return name, value
