"""An image as policies see it that look at more than signatures: its names, its manifest, its configuration. Pure.

What a digest stands for never changes, so `Content` may be kept; how the image was called is said each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson

if TYPE_CHECKING:
    from sealgate.digest import Digest
    from sealgate.oci.reference import Reference


class Content(NamedTuple):
    """What hangs on a digest, as bytes that were hashed: parsed, they would take several times the memory."""

    media_type: str
    manifest: bytes
    config: bytes | None
    """None: an index has none, or the manifest names none."""


def document(reference: Reference, digest: Digest, content: Content) -> dict[str, Any]:
    """What policies see. Raises `JsonInvalidError`, `JsonAmbiguousError`, `LimitError` of a configuration that is none."""
    registry, _, repository = reference.name.partition("/")
    found: dict[str, Any] = {
        "image": str(reference), "resolvedImage": str(reference.with_digest(digest)), "registry": registry,
        "repository": repository, "tag": reference.tag or "", "digest": str(digest), "mediaType": content.media_type,
        "identifier": str(reference.digest) if reference.digest is not None else reference.tag or "latest",
    }  # fmt: skip
    manifest = strictjson.parse_object(content.manifest, limit=limits.MANIFEST_BYTES, what="the image's manifest")
    if "manifests" in manifest:
        return found | {"imageIndex": manifest}
    found["manifest"] = manifest
    if content.config is not None:
        what = "the image's configuration"
        found["config"] = strictjson.parse(content.config, limit=limits.CONFIG_FILE_BYTES, what=what)
    return found
