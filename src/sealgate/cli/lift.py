"""`sealgate lift`: sign what BuildKit says of the images it built, as attestations."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.keyless import add_keyless_arguments, check_keyless_arguments, load_authors
from sealgate.cli.options import add_flag, duration
from sealgate.cli.predicate import TYPES
from sealgate.cli.registries import add_registry_arguments, blob_limit, images

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context
    from sealgate.oci.images import Images
    from sealgate.signing.attest import Attestation
    from sealgate.signing.sign import SignOptions

HELP = """Sign the provenance and the SBOM that BuildKit left in an index, signed by nobody, as attestations: each Statement byte
for byte, attached to the image of the platform that it is about. A Statement that is not about the image it is filed under
is refused, and then nothing is signed. Who lifts vouches for what BuildKit wrote: lift what you built, by its digest."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY",
        help="private key file or env://VAR (repeatable: every key signs)",
    )  # fmt: skip
    parser.add_argument(
        "--type", action="append", default=[], metavar="TYPE", help=f"only of this type (repeatable): {TYPES} (all)"
    )
    parser.add_argument("--platform", metavar="OS/ARCH", help="only about this platform's image of an index")
    parser.add_argument("--format", choices=("bundle", "legacy", "both"), help="where to put the attestations (bundle)")
    add_flag(parser, "--new-bundle-format", default=True, help="=false is --format legacy")
    add_flag(parser, "--replace", help="attestations of the same type by the same key give way to the new ones")
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH", help="sign this hash"
    )
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    parser.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    add_keyless_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Read everything, then sign everything."""
    import time

    from sealgate.cli.sign import docker_media_types, formats_of, settling_of
    from sealgate.signing.sign import SignOptions

    check_keyless_arguments(arguments)
    options = SignOptions(
        formats=formats_of(arguments),
        created=time.time(),
        docker_media_types=docker_media_types(context),
        tag_prefix=arguments.attachment_tag_prefix,
        settling=settling_of(arguments),
    )
    from sealgate.keys.secrecy import no_core_dump

    with ExitStack() as closing:  # an archive is written back when this ends without an error
        closing.enter_context(no_core_dump())
        made = context.run(_lift(arguments, context, options, images(arguments, context, closing)))
    for one in made:
        what = "Lifted" if one.added else "Already attested"
        context.err(f"{what}: {one.image} ({one.predicate_type}, {one.format}, key {one.key})")
    return 0


async def _lift(
    arguments: argparse.Namespace, context: Context, options: SignOptions, opened: Images
) -> list[Attestation]:
    from sealgate.artifacts import lift
    from sealgate.cli.sign import told_of_tags
    from sealgate.evidence import predicates
    from sealgate.signing.keyless import Formats

    types = frozenset(predicates.type_of(name) for name in arguments.type)
    image = await opened.open(arguments.image, writable=True)
    limit = blob_limit(context)
    found = await lift.find(image, types=types, platform=arguments.platform, limit=limit)
    told_of_tags([image], context)
    formats = Formats("bundle" in options.formats, "legacy" in options.formats)
    authors = await load_authors(arguments, context, formats)
    return await lift.sign(found, authors, options, replace=arguments.replace, limit=limit, told=context.err)
