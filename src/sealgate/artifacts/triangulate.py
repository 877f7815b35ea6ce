"""Where what is attached to an image lies, and what cosign's legacy format signs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sealgate.artifacts import attached as attacheds
from sealgate.evidence import simple
from sealgate.oci import attachments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.oci.images import Image

Type = Literal["signature", "attestation", "sbom", "digest"]

_SUFFIXES = {"signature": attachments.SIGNATURES, "attestation": attachments.ATTESTATIONS, "sbom": attachments.SBOMS}


async def triangulate(image: Image, type_: Type, *, prefix: str = "") -> str:
    """`repository:sha256-<hex>.sig` and the like, or `repository@sha256:…`. Bundles are referrers: `tree` lists them.

    A digest is taken as it is; nobody is asked. Raises `ImageNotFoundError` for a tag that does not exist.
    """
    digest = await attacheds.digest_of(image)
    if type_ == "digest":
        return f"{image.store.name}@{digest}"
    return f"{image.signatures.name}:{attachments.tag(digest, _SUFFIXES[type_], prefix=prefix)}"


async def generate(image: Image, annotations: Mapping[str, str], *, container_identity: str | None = None) -> bytes:
    """The simple-signing payload for an image, to be signed by other means and attached with `attach signature`."""
    return simple.encode(container_identity or image.store.name, await attacheds.digest_of(image), annotations)
