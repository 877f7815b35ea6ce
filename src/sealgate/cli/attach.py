"""`sealgate attach signature|attestation|sbom`: put what was made elsewhere where verifiers and readers look."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from sealgate.cli.options import duration
from sealgate.cli.registries import add_registry_arguments, blob_limit, images
from sealgate.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from sealgate.artifacts.attach import AttachedSignature, AttachOptions
    from sealgate.artifacts.attach_sbom import AttachedSbom
    from sealgate.cli.context import Context
    from sealgate.oci.images import Images

HELP = "Attach what was made elsewhere to an image."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`signature IMAGE`, `attestation IMAGE`, `sbom IMAGE` and their options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="signature|attestation|sbom")
    signature = commands.add_parser(
        "signature",
        description="Attach a signature that was made elsewhere: a payload (`sealgate generate`) with its signature under "
        "the .sig tag, or a bundle as a referrer. It must be for this image; with --key it must verify. What is attached "
        "stays, and nothing is attached twice.",
        help="attach a signature",
    )
    signature.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    signature.add_argument("--payload", metavar="FILE", help="what was signed, or a bundle")
    signature.add_argument("--signature", metavar="FILE", help="the base64 signature; - is stdin")
    signature.add_argument("--bundle", metavar="FILE", help="a Sigstore bundle")
    signature.add_argument("--certificate", metavar="FILE", help="the signer's certificate (PEM), attached as it is")
    signature.add_argument("--certificate-chain", metavar="FILE", help="its chain (PEM), attached as it is")
    signature.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="public key that it must verify with (repeatable)"
    )
    signature.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sig tag")
    signature.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    for name in ("--rekor-response", "--tsr"):
        signature.add_argument(name, metavar="FILE", help="not supported: refused")
    add_registry_arguments(signature)
    attestation = commands.add_parser(
        "attestation",
        description="Attach attestations that were made elsewhere: DSSE envelopes (a file may have one a line) under the "
        ".att tag, bundles as referrers. They must be about this image; with --key they must verify. What is attached "
        "stays, and nothing is attached twice.",
        help="attach attestations",
    )
    attestation.add_argument(
        "image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE"
    )
    attestation.add_argument(
        "--attestation", action="append", default=[], metavar="FILE", help="an envelope, envelopes a line, or a bundle"
    )
    attestation.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="public key that they must verify with (repeatable)"
    )
    attestation.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .att tag")
    attestation.add_argument(
        "--settle", type=duration, metavar="DURATION",
        help="how long a shared tag must stand unchanged before we let go (0.15s alone, 1s with others)",
    )  # fmt: skip
    add_registry_arguments(attestation)
    sbom = commands.add_parser(
        "sbom",
        description="Attach an SBOM under the .sbom tag, in place of what is there, or as a referrer: as cosign does, signed "
        "by nobody. `sealgate attest` or `sealgate sbom --attest` sign it.",
        help="attach an unsigned SBOM",
    )
    sbom.add_argument("image", metavar="IMAGE", help="registry/repository[:tag][@digest], oci:DIR or oci-archive:FILE")
    sbom.add_argument("--sbom", metavar="FILE", help="the SBOM; - is stdin")
    sbom.add_argument("--type", default="spdx", metavar="TYPE", help="spdx, cyclonedx or syft (spdx)")
    sbom.add_argument("--input-format", metavar="FORMAT", help="json, xml or text (what the content looks like)")
    sbom.add_argument(
        "--registry-referrers-mode", choices=("legacy", "oci-1-1"), default="legacy",
        help="under the .sbom tag, or as a referrer (legacy)",
    )  # fmt: skip
    sbom.add_argument("--attachment-tag-prefix", default="", metavar="PREFIX", help="prefix of the .sbom tag")
    add_registry_arguments(sbom)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Attach a signature, attestations, or an SBOM."""
    if arguments.action == "attestation":
        return _run_attestation(arguments, context)
    if arguments.action == "sbom":
        return _run_sbom(arguments, context)
    if arguments.rekor_response or arguments.tsr:
        raise UsageError("log entries and timestamps cannot be attached apart from a bundle", hint="--bundle FILE")
    if not (arguments.payload or arguments.bundle) or (arguments.payload and arguments.bundle):
        raise UsageError("nothing to attach, or two things", hint="--payload FILE --signature FILE, or --bundle FILE")
    with ExitStack() as closing:
        done = context.run(_attach(arguments, context, images(arguments, context, closing)))
    if not done.verified:
        context.err("note: the signature was not verified; --key FILE verifies it first")
    _tell(done, context)
    return 0


def _tell(done: AttachedSignature, context: Context) -> None:
    if done.added:
        context.err(f"Attached to: {done.image} ({done.digest})")
    else:
        context.err(f"Already attached: {done.image} ({done.digest}); nothing was added")


def _run_attestation(arguments: argparse.Namespace, context: Context) -> int:
    if not arguments.attestation:
        raise UsageError("nothing to attach", hint="--attestation FILE")
    with ExitStack() as closing:
        found = context.run(_attach_attestations(arguments, context, images(arguments, context, closing)))
    if not arguments.key:
        context.err("note: the attestations were not verified; --key FILE verifies them first")
    for done in found:
        _tell(done, context)
    return 0


async def _attach_attestations(
    arguments: argparse.Namespace, context: Context, opened: Images
) -> list[AttachedSignature]:
    from sealgate.artifacts.attach_attestation import attach_attestations, documents

    limit = blob_limit(context)
    given = []
    for path in arguments.attestation:
        context.err(f"Using payload from: {path}")
        given += documents(read_file(path, limit=limit), what=path, limit=limit)
    options = await _options(arguments, context)
    return await attach_attestations(await opened.open(arguments.image, writable=True), given, options)


DEPRECATED = (
    "WARNING: SBOM attachments are deprecated by cosign (https://github.com/sigstore/cosign/issues/2755): "
    "SBOM attestations are the way, which are signed."
)


def _run_sbom(arguments: argparse.Namespace, context: Context) -> int:
    from sealgate.artifacts import attach_sbom
    from sealgate.cli.predicate import read

    if not arguments.sbom:
        raise UsageError("nothing to attach", hint="--sbom FILE")
    context.err(DEPRECATED)
    content = read(arguments.sbom, context, limit=sbom_limit(context))
    media_type = attach_sbom.media_type(arguments.type, arguments.input_format, content)
    context.err(
        "WARNING: attaching an SBOM this way does not sign it. "
        f"`sealgate attest --predicate {arguments.sbom} --type {_ATTESTED[arguments.type]} --key KEY IMAGE` does."
    )
    with ExitStack() as closing:
        done = context.run(_attach_sbom(arguments, content, media_type, images(arguments, context, closing)))
    context.err(f"Uploading SBOM file for [{done.image}] to [{done.stored}] with mediaType [{done.media_type}].")
    if done.replaced:
        context.err("note: another SBOM was there, which is gone now")
    return 0


_ATTESTED = {"spdx": "spdxjson", "cyclonedx": "cyclonedx", "syft": "https://syft.dev/bom"}


def sbom_limit(context: Context) -> int:
    """The largest SBOM that is read: `COSIGN_MAX_ATTACHMENT_SIZE` where that is set."""
    from sealgate import limits

    return blob_limit(context) if context.environ.get("COSIGN_MAX_ATTACHMENT_SIZE") else limits.SBOM_BYTES


async def _attach_sbom(arguments: argparse.Namespace, content: bytes, media_type: str, opened: Images) -> AttachedSbom:
    from sealgate.artifacts import attach_sbom

    image = await opened.open(arguments.image, writable=True)
    return await attach_sbom.attach(
        image, content, media_type,
        referrer=arguments.registry_referrers_mode == "oci-1-1", prefix=arguments.attachment_tag_prefix,
    )  # fmt: skip


async def _options(arguments: argparse.Namespace, context: Context) -> AttachOptions:
    import time

    from sealgate.artifacts.attach import AttachOptions
    from sealgate.cli.sign import docker_media_types, settling_of
    from sealgate.keys.resolve import load_public_key
    from sealgate.verification.requirement import SignedBy

    keys = [SignedBy(await load_public_key(key, environ=context.environ), key) for key in arguments.key]
    return AttachOptions(
        created=time.time(),
        keys=tuple(keys),
        tag_prefix=arguments.attachment_tag_prefix,
        docker_media_types=docker_media_types(context),
        settling=settling_of(arguments),
    )


async def _attach(arguments: argparse.Namespace, context: Context, opened: Images) -> AttachedSignature:
    from sealgate.artifacts.attach import attach_bundle, attach_payload
    from sealgate.evidence.legacy import decode_signature

    options = await _options(arguments, context)
    content = read_file(arguments.payload or arguments.bundle)
    image = await opened.open(arguments.image, writable=True)
    if arguments.bundle or _is_bundle(content):
        if arguments.signature or arguments.certificate or arguments.certificate_chain:
            raise UsageError("a bundle brings its own signature and certificates", hint="--bundle FILE alone")
        return await attach_bundle(image, content, options)
    if arguments.signature is None:
        raise UsageError("a payload needs its signature", hint="--signature FILE")
    text = context.stdin.read(_SIGNATURE_CHARS) if arguments.signature == "-" else None
    if text is None:
        text = read_file(arguments.signature, limit=_SIGNATURE_CHARS).decode("ascii", "replace")
    return await attach_payload(
        image,
        content,
        decode_signature(text),
        options,
        certificate=read_file(arguments.certificate) if arguments.certificate else None,
        chain=read_file(arguments.certificate_chain) if arguments.certificate_chain else None,
    )


_SIGNATURE_CHARS = 64 * 1024


def _is_bundle(content: bytes) -> bool:
    """cosign takes a bundle for --payload too."""
    from sealgate import limits, strictjson
    from sealgate.errors import ContentError

    try:
        return "verificationMaterial" in strictjson.parse_object(
            content, limit=limits.EVIDENCE_BYTES, what="the payload"
        )
    except ContentError:
        return False


def read_file(path: str, *, limit: int | None = None) -> bytes:
    """A file of at most `limit` bytes. Raises `UsageError`, `LimitError`."""
    from sealgate import limits
    from sealgate.errors import LimitError

    most = limits.EVIDENCE_BYTES if limit is None else limit
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise LimitError(f"{path} is larger than {most} bytes")
    return data
