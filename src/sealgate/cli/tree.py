"""`sealgate tree`: everything attached to an image, as a tree or as JSON."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.registries import add_registry_arguments, images
from sealgate.cli.text import printable, printable_json
from sealgate.errors import UnavailableError

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.tree import Artifact, Tree
    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = """List what is attached to an image: signatures, attestations, SBOMs and whatever other tools put there, under
cosign's tags, in the referrers API and under its fallback tag. Nothing of it is verified. Exit code 14 when something
could not be asked; what was found is listed all the same."""

_HEADS = {"sig": "🔐 Signatures", "att": "💾 Attestations", "sbom": "📦 SBOMs"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    add_flag(parser, "-r", "--recursive", help="also what hangs on the images of an index, and on what is attached")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", metavar="FORMAT", help="text or json"
    )
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of cosign's tags")
    parser.add_argument("--registry-referrers-mode", choices=("legacy", "oci-1-1"), help="accepted; both are looked at")
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """List; 14 when something could not be asked."""
    with ExitStack() as closing:
        found = context.run(_tree(arguments, images(arguments, context, closing)))
    if arguments.output == "json":
        import json

        context.out(printable_json(json.dumps(found.as_json(), ensure_ascii=False, indent=2)))
    else:
        for line in text(found, arguments.image):
            context.out(line)
    code = 0
    for problem in dict.fromkeys((problem.code, problem.message) for problem in found.all_problems()):
        context.stderr.write(f"Error: {printable(problem[1], most=2000)} [{problem[0]}]\n")
    if any(isinstance(problem, UnavailableError) for problem in found.all_problems()):
        context.stderr.write("hint: nobody knows what else is attached; ask again later\n")
        code = UnavailableError.exit_code
    return code


async def _tree(arguments: argparse.Namespace, opened: Images) -> Tree:
    from sealgate.artifacts.tree import tree

    image = await opened.open(arguments.image)
    return await tree(image, recursive=arguments.recursive, prefix=arguments.attachment_tag_prefix)


def text(found: Tree, name: str) -> list[str]:
    """The lines as cosign prints them, with more behind each digest."""
    platform = f" ({printable(found.platform)})" if found.platform else ""
    lines = [f"📦 Supply Chain Security Related artifacts for an image: {printable(name)}{platform}"]
    for artifact in found.artifacts:
        lines += _artifact(artifact, "")
    if not found.artifacts and not found.problems:
        lines.append(f"No Supply Chain Security Related Artifacts found for image {printable(name)},")
        lines.append(" start creating one with simply running$ sealgate sign <img>")
    for child in found.children:
        lines += text(child, child.image)
    return lines


def _artifact(artifact: Artifact, margin: str) -> list[str]:
    if artifact.origin in _HEADS:
        head = f"{_HEADS[artifact.origin]} for an image tag"
    elif artifact.origin == "index":
        about = f" about {printable(artifact.about)}" if artifact.about else ""
        head = f"🔗 BuildKit's attestations{about}, in the index"
    else:
        kind = printable(artifact.predicate_type or artifact.artifact_type or "unknown")
        head = f"🔗 {kind} artifacts via OCI referrer"
    lines = [f"{margin}└── {head}: {printable(artifact.location, most=600)}"]
    for position, layer in enumerate(artifact.layers, 1):
        branch = "└──" if position == len(artifact.layers) and not artifact.attached and not artifact.problem else "├──"
        notes = [printable(layer.media_type), f"{layer.size} B"]
        if layer.predicate_type and (layer.predicate_type != artifact.predicate_type or artifact.origin == "index"):
            notes.insert(0, printable(layer.predicate_type))
        if artifact.signed is False:
            notes.append("unsigned")
        if artifact.created:
            notes.append(printable(artifact.created, most=40))
        lines.append(f"{margin}   {branch} 🍒 {layer.digest}  {', '.join(notes)}")
    if artifact.problem is not None:
        lines.append(f"{margin}   └── ✗ {printable(artifact.problem.message)} [{artifact.problem.code}]")
    for nested in artifact.attached:
        lines += _artifact(nested, f"{margin}   ")
    return lines
