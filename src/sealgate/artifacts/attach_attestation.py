"""Attaching attestations that were made elsewhere: DSSE envelopes under the `.att` tag, bundles as referrers.

Each must be about this image, else it could help nobody; with keys given it must verify with one of them. What is attached
stays; the same document is not attached twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts.attach import AttachedSignature, AttachOptions, sign_options
from sealgate.digest import Digest
from sealgate.errors import (
    BundleInvalidError,
    ContentError,
    EnvelopeInvalidError,
    NoMatchingSignatureError,
    StatementInvalidError,
)
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy, predicates, statement
from sealgate.oci import attachments
from sealgate.oci.attachments import Attachment
from sealgate.oci.descriptor import Descriptor
from sealgate.signing.sign import publish_bundles, publish_layers
from sealgate.verification import attestation as attestations
from sealgate.verification import deny
from sealgate.verification import evidence as evidences
from sealgate.verification.attestation import Attested
from sealgate.verification.checks import Asked

if TYPE_CHECKING:
    from sealgate.oci.images import Image


class Document(NamedTuple):
    """One attestation, read and not verified."""

    content: bytes
    is_bundle: bool
    predicate_type: str
    subjects: frozenset[str]
    """`algorithm:value`"""


def documents(content: bytes, *, what: str, limit: int = limits.EVIDENCE_BYTES) -> list[Document]:
    """The bundle or the envelopes of a file: one JSON document, or one a line as `download attestation` prints them.

    Raises `ContentError`s.
    """
    text = content.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > limits.ATTACHMENTS:
        lines = []
    several = len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
    if not text:
        raise EnvelopeInvalidError(f"{what} is empty")
    return [_document(line, what=what, limit=limit) for line in (lines if several else [text])]


def _document(content: bytes, *, what: str, limit: int) -> Document:
    is_bundle = b'"verificationMaterial"' in content
    if is_bundle:
        envelope = bundles.parse(content, limit=limit).content
        if not isinstance(envelope, dsse.Envelope):
            raise BundleInvalidError(f"{what} holds the signature of a file, not an attestation")
    else:
        envelope = dsse.parse(content, limit=limit)
    if not envelope.signatures or not all(signature.sig for signature in envelope.signatures):
        raise EnvelopeInvalidError(f"{what} carries no signature")
    dsse.require_in_toto(envelope)
    found = statement.parse(envelope.payload, limit=limit)
    if found.predicate_type == predicates.IMAGE_SIGNATURE:
        raise BundleInvalidError(f"{what} is the signature of an image", hint="`sealgate attach signature` attaches it")
    named = frozenset(f"{name}:{value}" for subject in found.subjects for name, value in subject.digests)
    return Document(content, is_bundle, found.predicate_type, named)


async def attach_attestations(image: Image, given: list[Document], options: AttachOptions) -> list[AttachedSignature]:
    """Attach documents to one image: all of them, or none when one is not for it.

    Raises `StatementInvalidError` (about another image), `NoMatchingSignatureError`, and what the store raises.
    """
    manifest = await attacheds.resolve(image)
    for document in given:
        _check(document, manifest.digest, image.name, options)
    found = await attachments.find(
        image.signatures, manifest.digest, suffixes=(attachments.ATTESTATIONS,), prefix=options.tag_prefix,
        fetch_layers=False,
    )  # fmt: skip
    for problem in found.problems:
        raise problem
    standing = {each.layer.digest for each in found.attachments if each.layer}
    fresh = {Digest.of(document.content): document for document in given}
    fresh = {digest: document for digest, document in fresh.items() if digest not in standing}
    signing = sign_options(options)
    for predicate_type in dict.fromkeys(document.predicate_type for document in fresh.values()):
        mine = [document for document in fresh.values() if document.predicate_type == predicate_type]
        contents = [document.content for document in mine if document.is_bundle]
        if contents:
            await publish_bundles(
                image.signatures, manifest, contents, signing, api=found.referrers_api, predicate_type=predicate_type
            )
    layers = [
        (document.content, legacy.attestation_annotations(document.predicate_type))
        for document in fresh.values()
        if not document.is_bundle
    ]
    if layers:
        await publish_layers(image.signatures, manifest.digest, layers, signing, suffix=attachments.ATTESTATIONS)
    return [
        AttachedSignature(image.name, manifest.digest, digest, digest in fresh, bool(options.keys))
        for digest in dict.fromkeys(Digest.of(document.content) for document in given)
    ]


def _check(document: Document, image: Digest, name: str, options: AttachOptions) -> None:
    if str(image) not in document.subjects:
        raise StatementInvalidError(
            f"the attestation is about another image, {', '.join(sorted(document.subjects))[:300]}; {name} is {image}",
            hint="was it made for another image, or for this one before it was built again?",
        )
    if not options.keys:
        return
    kind = bundles.MEDIA_TYPE if document.is_bundle else legacy.DSSE_ENVELOPE
    layer = Descriptor(kind, len(document.content), Digest.of(document.content))
    origin = "referrer" if document.is_bundle else attachments.ATTESTATIONS
    evidence = evidences.read_attestation(Attachment(origin, layer.digest, None, None, 1, layer, document.content))
    if evidence is None:
        raise ContentError("the attestation cannot be read")
    asked = Asked(image, options.keys, (), False, deny.NOTHING, None, None)
    report = attestations.judge(evidence, asked, Attested(document.predicate_type, ()))
    if not report.accepted:
        failed = next((finding.message for finding in report.findings if finding.outcome == "failed"), "no key fits")
        raise NoMatchingSignatureError(f"the attestation does not verify: {failed}", hint="nothing was attached")
