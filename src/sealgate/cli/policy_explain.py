"""`sealgate policy explain`: what policies would do with an image or a workload, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sealgate.cli.places import add_layout_arguments, stores_of
from sealgate.cli.policies import add_setting_arguments, index_of, settings_of
from sealgate.cli.registries import add_registry_arguments
from sealgate.cli.text import Style, printable, printable_json
from sealgate.errors import InvalidReferenceError, UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.gate.explaining import Considered
    from sealgate.gate.gating import Gated
    from sealgate.gate.manifests import Deployed
    from sealgate.policy.index import Index

HELP = """Show what would become of an image, or of every image of a manifest: which rules are about it and which are not, each with
the reason, and what each attestor of those that are has to say. Exit codes are those of `sealgate gate`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("policies", nargs="+", metavar="POLICY", help="a file or a directory of policies")
    parser.add_argument("image", metavar="IMAGE", help="an image; or a manifest: a file, or - for stdin")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="what stdout has (text)")
    parser.add_argument("--kind", default="Pod", metavar="KIND", help="of the workload that would run the image (Pod)")
    parser.add_argument(
        "-n", "--namespace", default="default", metavar="NAME", help="of objects that do not say theirs (default)"
    )
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="of Dockerfiles, as given to the build"
    )
    add_setting_arguments(parser, no_match=True)
    add_layout_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Judge as the gate does, and tell how."""
    import time

    from sealgate.gate import gating
    from sealgate.policy.judging import StoreJudge

    index = index_of(arguments, context, context.run(settings_of(arguments, context)))
    found = _found(arguments, context, index)
    now = time.time()
    judge = StoreJudge(stores_of(arguments, context))
    gated = context.run(gating.gate(found, index, judge, clock=lambda: now))
    if not gated:
        context.err("note: there is no image in it; nothing was judged")
    told = [(each, _considered(each, index, now)) for each in gated]
    if arguments.output == "json":
        context.out(_document(told))
    elif told:
        context.out(_text(told, Style(colour=context.stdout.isatty() and not context.environ.get("NO_COLOR"))))
    return gating.exit_code(gated)


def _found(arguments: argparse.Namespace, context: Context, index: Index) -> list[Deployed]:
    import os

    from sealgate.cli.gate import deployed
    from sealgate.gate import manifests
    from sealgate.oci.reference import parse

    if arguments.image == "-" or os.path.exists(arguments.image):
        arguments.manifests = [arguments.image]
        return deployed(arguments, context, index)[1]
    try:
        parse(arguments.image)
    except InvalidReferenceError as error:
        raise UsageError(f"{arguments.image[:200]!a} is neither a file nor an image: {error.message}") from error
    one = manifests.of_image(arguments.image, arguments.kind, namespace=arguments.namespace)
    return manifests.with_extracted([one], index.policies)


def _considered(gated: Gated, index: Index, now: float) -> list[tuple[Considered, ...]]:
    from sealgate.gate import explaining
    from sealgate.oci.reference import parse

    workload = gated.deployed.workload
    return [
        explaining.consider(index, parse(image.reference), workload, now=now, written=image.image)
        if image.reference is not None
        else ()
        for image in gated.decision.images
    ]


def _text(told: list[tuple[Gated, list[tuple[Considered, ...]]]], style: Style) -> str:
    from sealgate.cli import decisions

    lines: list[str] = []
    for gated, considered in told:
        for image, rules in zip(gated.decision.images, considered, strict=True):
            lines.append(f"{style.strong(printable(image.image))}  {style.faint(printable(image.where))}")
            if image.reference is not None and image.reference != image.image:
                lines.append(f"  is {printable(image.reference)}")
            lines.append(f"  rules ({sum(each.state == 'asked' for each in rules)} of {len(rules)} are asked):")
            for each in rules:
                mark = style.strong("→") if each.state == "asked" else style.faint("-")
                lines.append(
                    f"  {mark} {printable(each.rule.title)} ({each.rule.kind}): {printable(each.reason, most=500)}"
                )
                lines.append(f"      {style.faint(printable(each.rule.where))}")
            alone = gated._replace(decision=gated.decision._replace(images=(image,)))
            lines += [f"  {line}" for line in decisions.people([alone], style, verbose=True).split("\n")[:-1]]
    return "\n".join(lines)


def _document(told: list[tuple[Gated, list[tuple[Considered, ...]]]]) -> str:
    import json

    found: list[dict[str, Any]] = []
    for gated, considered in told:
        decision = gated.decision.as_json()
        for image, rules in zip(decision["images"], considered, strict=True):
            image["considered"] = [each.as_json() for each in rules]
        found.append({"file": gated.deployed.manifest.name, **decision})
    return printable_json(json.dumps(found, ensure_ascii=False, indent=2))
