"""`sealgate attest`: sign what is known about images, and attach it."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.gating import add_gate_arguments, gate_of, pass_gate
from sealgate.cli.keyless import add_keyless_arguments, check_keyless_arguments, load_authors
from sealgate.cli.options import add_flag, duration
from sealgate.cli.predicate import (
    add_predicate_arguments,
    check_predicate_arguments,
    claim_of,
    statement_of,
    subjects_of,
)
from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.cli.sign import formats_of, settling_of, told_of_tags, write_file
from sealgate.errors import SealgateError, UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.oci.images import Images
    from sealgate.signing.attest import Attestation, Wording
    from sealgate.signing.gate import Gate
    from sealgate.signing.sign import SignOptions

HELP = """Sign what is known about images (an SBOM, a scan, provenance, anything) as an in-toto Statement, and attach it: as a
referrer (bundle format, the default), under the .att tag (legacy, for cosign 2.x), or both. The predicate is signed as it
was given, byte for byte. The same Statement by the same key is not attached twice. Without a key, a certificate names who
signs (keyless), a log and a timestamp say when."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    add_predicate_arguments(parser)
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY",
        help="private key file or env://VAR (repeatable: every key signs)",
    )  # fmt: skip
    add_flag(
        parser, "-r", "--recursive", help="attest an index and every image in it, each with a Statement of its own"
    )
    parser.add_argument(
        "--subject", action="append", default=[], metavar="[NAME@]DIGEST",
        help="a further subject of the Statement (repeatable)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("bundle", "legacy", "both"), help="where to put the attestation (bundle)")
    add_flag(parser, "--new-bundle-format", default=True, help="=false is --format legacy")
    add_flag(parser, "--replace", help="attestations of the same type by the same key give way to the new one")
    add_flag(parser, "--no-upload", help="store nothing in the registry; the envelope (legacy) goes to stdout")
    parser.add_argument("--bundle", metavar="FILE", help="write the bundle to FILE")
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH", help="sign this hash"
    )
    add_flag(
        parser, "--record-creation-timestamp",
        help="set the legacy manifest's created time (SOURCE_DATE_EPOCH, or now)",
    )  # fmt: skip
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    parser.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    add_gate_arguments(parser, report="--scan-report")
    add_keyless_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Attest every image."""
    check_keyless_arguments(arguments)
    options = _options(arguments, context)
    if arguments.bundle and "bundle" not in options.formats:
        raise UsageError("--bundle writes the bundle format", hint="leave out --new-bundle-format=false")
    if arguments.no_upload and not arguments.bundle and "bundle" in options.formats:
        raise UsageError("--no-upload leaves the bundle nowhere", hint="--bundle FILE writes it to a file")
    if arguments.no_upload and arguments.replace:
        raise UsageError("--replace and --no-upload contradict each other")
    check_predicate_arguments(arguments, context)
    if "-" in arguments.scan_report and "-" in {arguments.predicate, arguments.statement}:
        raise UsageError("stdin cannot be both the report and the predicate")
    gate = gate_of(arguments, context)
    wording = _wording(arguments, context)
    from sealgate.keys.secrecy import no_core_dump

    with ExitStack() as closing:  # an archive is written back when this ends without an error
        closing.enter_context(no_core_dump())
        opened = images(arguments, context, closing)
        outcomes = context.run(_attest(arguments, context, wording, options, opened, gate))
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    _report(arguments, context, [made for each in outcomes if not isinstance(each, SealgateError) for made in each])
    return 0


def _options(arguments: argparse.Namespace, context: Context) -> SignOptions:
    import time

    from sealgate.cli.sign import creation_of, docker_media_types
    from sealgate.signing.sign import SignOptions

    return SignOptions(
        formats=formats_of(arguments),
        created=time.time(),
        recursive=arguments.recursive,
        upload=not arguments.no_upload,
        creation_timestamp=creation_of(arguments, context),
        docker_media_types=docker_media_types(context),
        tag_prefix=arguments.attachment_tag_prefix,
        settling=settling_of(arguments),
    )


def _wording(arguments: argparse.Namespace, context: Context) -> Wording:
    from sealgate.signing.attest import Wording

    limit = blob_limit(context)
    subjects = subjects_of(arguments.subject)
    if arguments.statement is None:
        shown = arguments.predicate if arguments.predicate != "-" else "standard input"
        context.err(f"Using payload from: {shown}")
        return Wording(claim=claim_of(arguments, context, limit=limit), subjects=subjects)
    if subjects:
        raise UsageError("a Statement has its own subjects", hint="leave out --subject")
    context.err(f"Using statement from: {arguments.statement if arguments.statement != '-' else 'standard input'}")
    return Wording(given=statement_of(arguments, context, limit=limit))


async def _attest(
    arguments: argparse.Namespace, context: Context, wording: Wording, options: SignOptions, opened: Images,
    gate: Gate | None,
) -> list[list[Attestation] | SealgateError]:  # fmt: skip
    """Every image, however the others end; the gate is passed by all of them or by none."""
    from sealgate.signing.attest import attest
    from sealgate.signing.keyless import Formats
    from sealgate.transport import flow

    places = [await opened.open(text, writable=options.upload) for text in arguments.images]
    if gate is not None:
        places = await pass_gate(places, gate, context)
    authors = await load_authors(arguments, context, Formats("bundle" in options.formats, "legacy" in options.formats))
    told_of_tags(places, context)
    limit = blob_limit(context)
    return await flow.settle(
        [
            attest(place, authors, wording, options, replace=arguments.replace, limit=limit, told=context.err)
            for place in places
        ],
        limit=8,
    )


def _report(arguments: argparse.Namespace, context: Context, made: list[Attestation]) -> None:
    bundles = [one.content for one in made if one.format == "bundle" and one.content]
    if arguments.bundle and bundles:
        if len(bundles) > 1:
            raise UsageError(f"{len(bundles)} attestations were made, and one file was given to write them to")
        write_file(arguments.bundle, bundles[0])
        context.err(f"Wrote bundle to file {arguments.bundle}")
    for one in made:
        if arguments.no_upload:
            if one.format == "legacy":
                context.out(one.content.decode("utf-8"))
        elif not one.added:
            context.err(f"Already attested: {one.image} ({one.format}, key {one.key}); nothing was added")
        if one.replaced:
            context.err(f"Replaced {one.replaced} of type {one.predicate_type}: {one.image} ({one.format})")
