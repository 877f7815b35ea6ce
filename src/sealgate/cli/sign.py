"""`sealgate sign`: sign images with keys or certificates, in the bundle format, cosign's legacy format, or both."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.gating import add_gate_arguments, gate_of, pass_gate
from sealgate.cli.keyless import add_keyless_arguments, check_keyless_arguments, has_certificate, load_authors
from sealgate.cli.options import add_flag, duration
from sealgate.cli.registries import add_registry_arguments, images, parse_annotations
from sealgate.errors import SealgateError, UsageError

if TYPE_CHECKING:
    from sealgate.cli.context import Context
    from sealgate.keys.signer import Signer
    from sealgate.oci.images import Image, Images
    from sealgate.signing.author import Author
    from sealgate.signing.gate import Gate
    from sealgate.signing.publish import Settling
    from sealgate.signing.sign import Format, Signature, SignOptions

HELP = """Sign images. The signature goes where verifiers look: a referrer of the image (bundle format, the default), the
.sig tag (legacy, for cosign 2.x), or both. With a key no service but the registry is contacted, and signing the same content
again with it adds nothing. Without a key, a certificate names who signs (keyless), a log and a timestamp say when. What is
made is verified before it is published."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="KEY",
        help="private key file or env://VAR (repeatable: every key signs)",
    )
    add_flag(parser, "-r", "--recursive", help="sign an index and every image in it")
    parser.add_argument(
        "-a", "--annotations", action="append", default=[], metavar="KEY=VALUE", help="sign this with the image"
    )
    parser.add_argument("--format", choices=("bundle", "legacy", "both"), help="where to put the signature (bundle)")
    add_flag(parser, "--new-bundle-format", default=True, help="=false is --format legacy")
    add_flag(parser, "--upload", default=True, help="=false makes the signature and stores nothing in the registry")
    parser.add_argument("--bundle", metavar="FILE", help="write the bundle to FILE")
    parser.add_argument("--output-signature", metavar="FILE", help="write the base64 signature to FILE (legacy format)")
    parser.add_argument("--output-payload", metavar="FILE", help="write the signed payload to FILE (legacy format)")
    parser.add_argument(
        "--sign-container-identity", metavar="NAME", help="the docker-reference to sign (legacy format)"
    )
    add_flag(
        parser,
        "--record-creation-timestamp",
        help="set the legacy signature's created time (SOURCE_DATE_EPOCH, or now)",
    )
    parser.add_argument(
        "--signature-digest-algorithm", choices=("sha256", "sha384", "sha512"), metavar="HASH", help="sign this hash"
    )
    parser.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sig tag")
    parser.add_argument(
        "--registry-referrers-mode", choices=("legacy", "oci-1-1"), help="accepted; bundles are referrers anyway"
    )
    parser.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    parser.add_argument("--output-certificate", metavar="FILE", help="write the certificate to FILE (PEM)")
    add_gate_arguments(parser, report="--scan-report")
    add_keyless_arguments(parser)
    add_registry_arguments(parser)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Sign every image, or none when the scan gate refuses one."""
    check_keyless_arguments(arguments)
    options = _options(arguments, context)
    if arguments.bundle and "bundle" not in options.formats:
        raise UsageError("--bundle writes the bundle format", hint="leave out --new-bundle-format=false")
    if (arguments.output_signature or arguments.output_payload) and "legacy" not in options.formats:
        raise UsageError("--output-signature and --output-payload belong to the legacy format", hint="--format legacy")
    if not options.upload and not (arguments.bundle or arguments.output_signature or arguments.output_payload):
        raise UsageError("--upload=false leaves the signature nowhere", hint="--bundle FILE writes it to a file")
    if arguments.output_certificate and not has_certificate(arguments):
        raise UsageError("--output-certificate: a signature by a key has no certificate", hint="leave it out")
    gate = gate_of(arguments, context)
    from sealgate.keys.secrecy import no_core_dump

    with ExitStack() as closing:  # an archive is written back when this ends without an error
        closing.enter_context(no_core_dump())
        outcomes, authors = context.run(_sign(arguments, context, options, images(arguments, context, closing), gate))
    made = [signature for outcome in outcomes if not isinstance(outcome, SealgateError) for signature in outcome]
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    _write_outputs(arguments, made, authors)
    for signature in made:
        if not signature.added and options.upload:
            context.err(
                f"Already signed: {signature.image} ({signature.format}, key {signature.key}); nothing was added"
            )
    return 0


_FORMATS: dict[str, tuple[Format, ...]] = {
    "bundle": ("bundle",),
    "legacy": ("legacy",),
    "both": ("bundle", "legacy"),
}


def _options(arguments: argparse.Namespace, context: Context) -> SignOptions:
    import time

    from sealgate.signing.sign import SignOptions

    return SignOptions(
        formats=formats_of(arguments),
        created=time.time(),
        annotations=parse_annotations(arguments.annotations),
        recursive=arguments.recursive,
        upload=arguments.upload,
        container_identity=arguments.sign_container_identity,
        creation_timestamp=creation_of(arguments, context),
        docker_media_types=docker_media_types(context),
        tag_prefix=arguments.attachment_tag_prefix,
        settling=settling_of(arguments),
    )


def formats_of(arguments: argparse.Namespace) -> tuple[Format, ...]:
    """`--format` and cosign's `--new-bundle-format`."""
    chosen = arguments.format or ("bundle" if arguments.new_bundle_format else "legacy")
    if arguments.format is not None and not arguments.new_bundle_format and arguments.format != "legacy":
        raise UsageError("--format and --new-bundle-format=false contradict each other")
    return _FORMATS[chosen]


def creation_of(arguments: argparse.Namespace, context: Context) -> str | None:
    """`--record-creation-timestamp`: the time in RFC 3339."""
    import time

    if not arguments.record_creation_timestamp:
        return None
    return rfc3339(context.environ.get("SOURCE_DATE_EPOCH"), time.time())


def settling_of(arguments: argparse.Namespace) -> Settling:
    """`--settle`."""
    from sealgate.signing.publish import Settling

    return Settling() if arguments.settle is None else Settling(alone=arguments.settle, contended=arguments.settle)


def docker_media_types(context: Context) -> bool:
    """`COSIGN_DOCKER_MEDIA_TYPES`."""
    return context.environ.get("COSIGN_DOCKER_MEDIA_TYPES", "").lower() in {"1", "t", "true"}


def rfc3339(epoch: str | None, now: float) -> str:
    """`SOURCE_DATE_EPOCH` where it is set, else `now`, in RFC 3339. Raises `UsageError`."""
    import time

    if epoch is not None and not (epoch.isascii() and epoch.isdigit() and len(epoch) <= 11):
        raise UsageError("SOURCE_DATE_EPOCH is not a number of seconds")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch) if epoch is not None else now))


async def _sign(
    arguments: argparse.Namespace, context: Context, options: SignOptions, opened: Images, gate: Gate | None
) -> tuple[list[list[Signature] | SealgateError], list[Author]]:
    """Every image, however the others end; the gate is passed by all of them or by none."""
    from sealgate.signing.keyless import Formats
    from sealgate.signing.sign import sign
    from sealgate.transport import flow

    places = [await opened.open(text, writable=options.upload) for text in arguments.images]
    if gate is not None:
        places = await pass_gate(places, gate, context)
    authors = await load_authors(arguments, context, Formats("bundle" in options.formats, "legacy" in options.formats))
    told_of_tags(places, context)
    return await flow.settle([sign(place, authors, options, context.err) for place in places], limit=8), authors


def told_of_tags(places: list[Image], context: Context) -> None:
    """Say that a tag is no name for what is signed."""
    for place in places:
        if place.location is not None and place.location.digest is None:
            context.err(
                f"note: {place.name} is a tag; what it points to now is signed. A digest (…@sha256:…) says which image is meant"
            )


async def load_signers(arguments: argparse.Namespace, context: Context) -> list[Signer]:
    """Every `--key`; the password is asked for once."""
    from sealgate.keys.password import PasswordSource
    from sealgate.keys.resolve import load_signer

    password = PasswordSource(environ=context.environ, stdin=context.stdin)
    found: dict[bytes, Signer] = {}
    for key in arguments.key:
        signer = await load_signer(
            key, password=password.read, environ=context.environ, hash_name=arguments.signature_digest_algorithm
        )
        found.setdefault(signer.public_key.spki, signer)
    return list(found.values())


def certificate_of(authors: list[Author]) -> bytes:
    """The certificate of who signs, PEM. Raises `UsageError`: there is none."""
    for author in authors:
        if author.certificate is not None:
            return author.certificate.pem()
    raise UsageError("--output-certificate: a signature by a key has no certificate", hint="leave it out")


def _write_outputs(arguments: argparse.Namespace, made: list[Signature], authors: list[Author]) -> None:
    import base64

    if arguments.output_certificate:
        write_file(arguments.output_certificate, certificate_of(authors))

    bundles = [signature for signature in made if signature.format == "bundle" and signature.content]
    legacy = [signature for signature in made if signature.format == "legacy" and signature.content]
    wanted = (
        (arguments.bundle, [signature.content for signature in bundles]),
        (arguments.output_signature, [base64.b64encode(signature.signature) for signature in legacy]),
        (arguments.output_payload, [signature.content for signature in legacy]),
    )
    for path, contents in wanted:
        if path is None or not contents:
            continue
        if len(contents) > 1:
            raise UsageError(f"{len(contents)} signatures were made, and one file was given to write them to")
        write_file(path, contents[0])


def write_file(path: str, data: bytes) -> None:
    """Write a file, or say why it cannot be."""
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
