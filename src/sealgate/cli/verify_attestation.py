"""`sealgate verify-attestation`: verify what was signed about images, in whatever format, and print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.cli.options import add_flag
from sealgate.cli.predicate import add_policy_argument, add_type_argument, policies
from sealgate.cli.provenance import add_provenance_arguments, provenance_of
from sealgate.cli.registries import add_registry_arguments
from sealgate.cli.trust import add_trust_arguments
from sealgate.cli.verify import add_key_arguments, add_output_arguments, judge_names
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.cli.context import Context

HELP = """Verify attestations of images. Both formats of every image are looked at; the predicate type is that of the signed
Statement. stdout has one DSSE envelope a line, as cosign prints it; stderr the verdict for a person. Exit codes: 0 every image
has a good attestation of the type, 10 none is attached, 11 no such image, 12 none satisfies, 14 could not ask, 15 no usable
key, 16 denied."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    add_type_argument(parser)
    add_policy_argument(parser)
    add_provenance_arguments(parser)
    add_key_arguments(parser)
    parser.add_argument(
        "-a", "--annotations", action="append", default=[], metavar="KEY=VALUE",
        help="must be signed with the image, on the Statement's subject",
    )  # fmt: skip
    add_flag(parser, "-r", "--recursive", help="every image of an index must have such an attestation as well")
    parser.add_argument("--platform", metavar="OS/ARCH", help="verify this platform's image of an index")
    add_output_arguments(parser)
    add_flag(
        parser, "--check-claims", default=True,
        help="=false leaves the annotations unchecked; the digest is always checked",
    )  # fmt: skip
    add_flag(parser, "--new-bundle-format", default=True, help="=false looks at the legacy format only")
    add_flag(parser, "--local-image", help="IMAGE is the directory of an OCI layout, as oci:DIR")
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    parser.add_argument(
        "--max-workers", type=int, default=10, metavar="N", help="accepted; requests run at once anyway"
    )
    add_trust_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Verify every image; the exit code is that of the first that was not accepted."""
    from sealgate.cli import render
    from sealgate.cli.verify import show
    from sealgate.evidence import predicates
    from sealgate.verification.attestation import Attested

    if not arguments.images:
        raise UsageError("no image to verify", hint="sealgate verify-attestation --key cosign.pub --type TYPE IMAGE")
    names = [f"oci:{name}" if arguments.local_image else name for name in arguments.images]
    predicate_type = predicates.type_of(arguments.type)
    provenance = provenance_of(arguments, predicate_type)
    with policies(arguments.policy, context) as conditions:
        attested = Attested(predicate_type, conditions, provenance=provenance)
        found = judge_names(names, arguments, context, attested=attested)
    return show(found, arguments.output, context, data=render.envelopes)
