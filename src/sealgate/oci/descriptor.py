"""Content descriptors (OCI image specification, descriptor.md) as values."""

from __future__ import annotations

from typing import Any, NamedTuple

from sealgate.digest import Digest
from sealgate.errors import LimitError, ManifestInvalidError


class Descriptor(NamedTuple):
    """What a manifest, an index or a referrers list says of one piece of content. Nothing of it is believed but the digest."""

    media_type: str
    size: int
    digest: Digest
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str | None = None
    platform: str | None = None
    """`os/architecture[/variant]`."""

    @classmethod
    def parse(cls, document: object, what: str) -> Descriptor:
        """Read a descriptor. Raises `ManifestInvalidError`, `DigestInvalidError`. `urls` are never followed (T11)."""
        if not isinstance(document, dict):
            raise ManifestInvalidError(f"{what}: a descriptor is not an object")
        media_type, size = document.get("mediaType"), document.get("size")
        if not isinstance(media_type, str) or not media_type or len(media_type) > 255:
            raise ManifestInvalidError(f"{what}: a descriptor has no mediaType")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ManifestInvalidError(f"{what}: a descriptor has no size")
        artifact_type = document.get("artifactType")
        return cls(
            media_type,
            size,
            Digest.parse(document.get("digest")),
            parse_annotations(document.get("annotations"), what),
            artifact_type if isinstance(artifact_type, str) else None,
            _platform(document.get("platform")),
        )

    def annotation(self, name: str) -> str | None:
        """The value of an annotation."""
        return next((value for key, value in self.annotations if key == name), None)

    def as_json(self) -> dict[str, Any]:
        """In the order in which cosign writes it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "size": self.size, "digest": str(self.digest)}
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        if self.artifact_type is not None:
            found["artifactType"] = self.artifact_type
        return found


def parse_annotations(document: object, what: str) -> tuple[tuple[str, str], ...]:
    """Annotations as pairs. Raises `ManifestInvalidError` unless they are strings, `LimitError` past 1,000."""
    if document is None:
        return ()
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise ManifestInvalidError(f"{what}: annotations are not strings")
    if len(document) > 1000:
        raise LimitError(f"{what}: more than 1000 annotations")
    return tuple(document.items())


def _platform(document: object) -> str | None:
    if not isinstance(document, dict):
        return None
    parts = [document.get("os"), document.get("architecture"), document.get("variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part) or None
