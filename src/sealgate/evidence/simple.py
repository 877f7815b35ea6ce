"""The simple-signing payload: what cosign's legacy format signs (containers/image, containers-signature(5)).

    {"critical":{"identity":{"docker-reference":R},"image":{"docker-manifest-digest":D},"type":TYPE},"optional":O}

Only bytes that a trusted key has signed are worth anything; `parse` says what they claim, not whether it is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import DigestInvalidError, PayloadInvalidError, PayloadTypeError
from sealgate.evidence import document
from sealgate.evidence.gojson import encoding_json, sorted_map

TYPE = "cosign container image signature"
"""The only `critical.type` that is a signature of a container image."""


class Payload(NamedTuple):
    """What a payload claims. `raw` are the bytes that were signed."""

    docker_reference: str
    """Registry and repository as the signer called them; empty if the payload has none. cosign does not check it."""
    digest: Digest
    kind: str
    """`critical.type`; always `TYPE` in what `parse` returns."""
    optional: dict[str, Any]
    """The signer's annotations (`-a`), values of any type."""
    raw: bytes


def parse(raw: bytes, *, limit: int = limits.EVIDENCE_BYTES) -> Payload:
    """Read a payload, at most `limit` bytes.

    As cosign: white space, unknown fields, a missing identity and any values in `optional` are accepted. Unlike cosign,
    another `critical.type` is refused (W06: bytes that the key signed for another purpose), and so are duplicate or
    case-folded keys (M03, E21).

    Raises `PayloadTypeError` (another type), `PayloadInvalidError`, `JsonAmbiguousError`, `LimitError`.
    """
    error = PayloadInvalidError
    whole = document.parse(raw, limit=limit, what="the signed payload", error=error)
    critical = document.as_object(whole.get("critical"), what="the payload's critical part", error=error)
    kind = document.as_text(critical.get("type"), what="the payload's critical.type", error=error)
    if kind != TYPE:
        raise PayloadTypeError(
            f"the payload is of type {ascii(kind)[:100]}, not a container image signature",
            hint="the key signed these bytes for another purpose; they say nothing about an image",
        )
    image = document.as_object(critical.get("image"), what="the payload's critical.image", error=error)
    return Payload(_reference(critical), _digest(image), kind, _optional(whole), raw)


def encode(docker_reference: str, digest: Digest, annotations: Mapping[str, str]) -> bytes:
    """The payload for an image, byte for byte as cosign 2.5.0 and 3.1.1 write it.

    Raises `UsageError` for text that is not UTF-8, `PayloadInvalidError` for a digest that is not sha256.
    """
    if digest.algorithm != "sha256":
        raise PayloadInvalidError(f"an image is signed by its sha256 digest, not {digest.algorithm}")
    payload = {
        "critical": {
            "identity": {"docker-reference": docker_reference},
            "image": {"docker-manifest-digest": str(digest)},
            "type": TYPE,
        },
        "optional": sorted_map(annotations) or None,
    }
    return encoding_json(payload).encode("utf-8")


def _reference(critical: dict[str, Any]) -> str:
    identity = critical.get("identity")
    if identity is None:
        return ""
    identity = document.as_object(identity, what="the payload's critical.identity", error=PayloadInvalidError)
    reference = identity.get("docker-reference", "")
    if not isinstance(reference, str):
        raise PayloadInvalidError("the payload's docker-reference is not a string")
    return reference


def _digest(image: dict[str, Any]) -> Digest:
    try:
        digest = Digest.parse(image.get("docker-manifest-digest"))
    except DigestInvalidError as problem:
        raise PayloadInvalidError("the payload's docker-manifest-digest is missing or not a digest") from problem
    if digest.algorithm != "sha256":
        raise PayloadInvalidError("the payload's docker-manifest-digest is not a sha256 digest")
    return digest


def _optional(whole: dict[str, Any]) -> dict[str, Any]:
    optional = whole.get("optional")
    if optional is None:
        return {}
    return document.as_object(optional, what="the payload's optional part", error=PayloadInvalidError)
