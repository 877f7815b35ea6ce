"""Attaching a signature that was made elsewhere: by other tools, on another machine, in another network.

It must be for this image, else it could help nobody; with keys given it must verify with one of them. What is attached
stays; the same signature is not attached twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.artifacts import attached as attacheds
from sealgate.digest import Digest
from sealgate.errors import (
    BundleInvalidError,
    NoMatchingSignatureError,
    PayloadInvalidError,
    StatementInvalidError,
)
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy, predicates, simple, statement
from sealgate.evidence.dsse import Envelope
from sealgate.oci import attachments
from sealgate.oci.attachments import Attachment
from sealgate.oci.descriptor import Descriptor
from sealgate.signing.publish import Settling
from sealgate.signing.sign import SignOptions, publish_bundles, publish_layers
from sealgate.verification import deny
from sealgate.verification import evidence as evidences
from sealgate.verification.checks import Asked, judge

if TYPE_CHECKING:
    from sealgate.oci.images import Image
    from sealgate.verification.requirement import SignedBy

_HINT = "was it made for another image, or for this one before it was built again?"


class AttachOptions(NamedTuple):
    """How to attach."""

    created: float
    """The time now, in seconds of the epoch: for the bundle manifest's `created` annotation."""
    keys: tuple[SignedBy, ...] = ()
    """The signature must verify with one of these; without any it is not verified."""
    tag_prefix: str = ""
    docker_media_types: bool = False
    settling: Settling = Settling()


class AttachedSignature(NamedTuple):
    """What became of it."""

    image: str
    digest: Digest
    content: Digest
    """The payload's or bundle's digest."""
    added: bool
    """False when it was attached already."""
    verified: bool
    """Whether keys were given, and it verifies."""


async def attach_payload(
    image: Image,
    payload: bytes,
    signature: bytes,
    options: AttachOptions,
    *,
    certificate: bytes | None = None,
    chain: bytes | None = None,
) -> AttachedSignature:
    """Attach a simple-signing payload and its signature (raw bytes) under the `.sig` tag. Certificates are PEM.

    Raises `PayloadInvalidError` (malformed, or for another image), `NoMatchingSignatureError`, and what the store raises.
    """
    manifest = await attacheds.resolve(image)
    claimed = simple.parse(payload)
    if claimed.digest != manifest.digest:
        raise PayloadInvalidError(
            f"the payload is for another image, {claimed.digest}; {image.name} is {manifest.digest}", hint=_HINT
        )
    annotations = legacy.layer_annotations(signature, certificate=certificate, chain=chain)
    layer = Descriptor(legacy.SIMPLE_SIGNING, len(payload), Digest.of(payload), tuple(annotations.items()))
    _verify(Attachment(attachments.SIGNATURES, layer.digest, None, None, 1, layer, payload), manifest.digest, options)
    found = await attachments.find(
        image.signatures, manifest.digest, prefix=options.tag_prefix, referrers=False, fetch_layers=False
    )
    for problem in found.problems:
        raise problem
    standing = {
        (each.layer.digest, each.layer.annotation(legacy.SIGNATURE)) for each in found.attachments if each.layer
    }
    added = (layer.digest, annotations[legacy.SIGNATURE]) not in standing
    if added:
        await publish_layers(image.signatures, manifest.digest, [(payload, annotations)], sign_options(options))
    return AttachedSignature(image.name, manifest.digest, layer.digest, added, bool(options.keys))


async def attach_bundle(image: Image, content: bytes, options: AttachOptions) -> AttachedSignature:
    """Attach a Sigstore bundle with the signature of this image, as a referrer.

    Raises `BundleInvalidError` (malformed, or no image signature), `StatementInvalidError` (for another image),
    `NoMatchingSignatureError`, and what the store raises.
    """
    manifest = await attacheds.resolve(image)
    envelope = bundles.parse(content).content
    if not isinstance(envelope, Envelope):
        raise BundleInvalidError("the bundle holds the signature of a file, not of an image")
    dsse.require_in_toto(envelope)
    claimed = statement.parse(envelope.payload)
    if claimed.predicate_type != predicates.IMAGE_SIGNATURE:
        raise BundleInvalidError(
            f"the bundle is an attestation of type {ascii(claimed.predicate_type)[:200]}, not a signature"
        )
    if not statement.matches(claimed, manifest.digest):
        named = ", ".join(f"{name}:{value}" for subject in claimed.subjects for name, value in subject.digests)
        raise StatementInvalidError(
            f"the bundle is for another image, {named[:300]}; {image.name} is {manifest.digest}", hint=_HINT
        )
    layer = Descriptor(bundles.MEDIA_TYPE, len(content), Digest.of(content))
    _verify(Attachment("referrer", layer.digest, None, None, 1, layer, content), manifest.digest, options)
    found = await attachments.find(image.signatures, manifest.digest, suffixes=(), fetch_layers=False)
    for problem in found.problems:
        raise problem
    added = layer.digest not in {each.layer.digest for each in found.attachments if each.layer}
    if added:
        await publish_bundles(image.signatures, manifest, [content], sign_options(options), api=found.referrers_api)
    return AttachedSignature(image.name, manifest.digest, layer.digest, added, bool(options.keys))


def _verify(attachment: Attachment, image: Digest, options: AttachOptions) -> None:
    """Judge it as a verifier would, when there are keys."""
    evidence = evidences.read(attachment)
    if not options.keys or evidence is None:
        return
    report = judge(evidence, Asked(image, options.keys, (), True, deny.NOTHING, None, None))
    if not report.accepted:
        failed = next((finding.message for finding in report.findings if finding.outcome == "failed"), "no key fits")
        raise NoMatchingSignatureError(f"the signature does not verify: {failed}", hint="nothing was attached")


def sign_options(options: AttachOptions) -> SignOptions:
    """What publishing needs to know."""
    return SignOptions(
        formats=("bundle", "legacy"),
        created=options.created,
        docker_media_types=options.docker_media_types,
        tag_prefix=options.tag_prefix,
        settling=options.settling,
    )
