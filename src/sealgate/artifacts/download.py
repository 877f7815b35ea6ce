"""Signatures as they are attached, in the lines that `cosign download signature` prints. Nothing is verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.artifacts import attached as attacheds
from sealgate.errors import ContentError, NoSignatureError, SealgateError, UnavailableError
from sealgate.evidence import base64, legacy, predicates, statement
from sealgate.evidence.bundle import Bundle
from sealgate.evidence.dsse import Envelope
from sealgate.oci import attachments
from sealgate.transport import flow
from sealgate.verification import evidence as evidences

if TYPE_CHECKING:
    from sealgate.oci.attachments import Attachment, Found
    from sealgate.oci.images import Image


class Downloaded(NamedTuple):
    """The signatures of one image, and what could not be brought or read."""

    lines: tuple[str, ...]
    """One JSON document each."""
    problems: tuple[SealgateError, ...]


async def download_signatures(image: Image, *, prefix: str = "", blob_limit: int = limits.EVIDENCE_BYTES) -> Downloaded:
    """Every signature of `image` in both formats; attestations are left out.

    Raises `ImageNotFoundError`, and `NoSignatureError` when there is none and everything could be asked.
    """
    digest = (await attacheds.resolve(image)).digest
    found: list[Found] = await flow.gather(
        [
            attachments.find(store, digest, suffixes=(attachments.SIGNATURES,), prefix=prefix, blob_limit=blob_limit)
            for store in attacheds.stores_of(image)
        ]
    )
    lines: dict[str, None] = {}
    problems = [problem for each in found for problem in each.problems]
    for attachment in (attachment for each in found for attachment in each.attachments):
        try:
            line = _line(attachment)
        except SealgateError as error:
            problems.append(error)
        else:
            if line is not None:
                lines[line] = None
    if not lines and not any(isinstance(problem, UnavailableError) for problem in problems):
        raise NoSignatureError(
            f"{image.name}: no signatures associated", hint="`sealgate tree IMAGE` lists everything that is attached"
        )
    return Downloaded(tuple(lines), tuple(problems))


def _line(attachment: Attachment) -> str | None:
    """cosign's line; None for what is no signature. Raises `SealgateError` for what could not be fetched or read."""
    evidence = evidences.read(attachment)
    if evidence is None:
        return None
    if evidence.content is None:
        raise evidence.problem or ContentError(f"{evidence.label} is empty")
    if isinstance(evidence.content, Bundle):
        envelope = evidence.content.content
        if not isinstance(envelope, Envelope):
            return None
        if statement.parse(envelope.payload).predicate_type != predicates.IMAGE_SIGNATURE:
            return None
        text = evidence.content.raw.decode("utf-8").strip()
        if "\n" in text or "\r" in text:  # pretty-printed: what is signed is base64 inside and stays as it is
            text = _compact(strictjson.parse(evidence.content.raw, limit=limits.EVIDENCE_BYTES, what=evidence.label))
        return text
    content = evidence.content
    return _compact(
        {
            "Base64Signature": base64.encode(content.signature),
            "Payload": base64.encode(content.payload),
            "Cert": next(iter(_certificates(content.certificate)), None),
            "Chain": _certificates(content.chain) or None,
            "Bundle": _document(content.bundle, legacy.BUNDLE),
            "RFC3161Timestamp": _document(content.timestamp, legacy.TIMESTAMP),
        }
    )


def _certificates(pem: bytes | None) -> list[dict[str, str]]:
    """As Go prints a certificate, but its bytes only: `Raw` is what can be read back."""
    if pem is None:
        return []
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ContentError("a certificate attached to a signature is no certificate") from error
    return [{"Raw": base64.encode(certificate.public_bytes(Encoding.DER))} for certificate in found]


def _document(text: str | None, what: str) -> Any:
    return None if text is None else strictjson.parse(text.encode("utf-8"), limit=limits.EVIDENCE_BYTES, what=what)


def _compact(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
