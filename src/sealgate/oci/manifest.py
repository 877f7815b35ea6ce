"""Manifests and indexes: bytes from a store to one believed meaning, and the bytes that are written.

`parse` hashes before it reads, and refuses a document that two programs may read differently: manifest and index at once,
a body that contradicts its Content-Type, keys twice (bypasses M01 to M03, M13, M14, T02, T15, T16). The writers follow the
field order of cosign, so that what is written is byte for byte what cosign writes.

Source: OCI image specification 1.1 (manifest.md, image-index.md, descriptor.md), Docker image manifest version 2 schema 2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.digest import Digest
from sealgate.errors import (
    ContentError,
    DigestMismatchError,
    LimitError,
    ManifestAmbiguousError,
    ManifestInvalidError,
    ManifestUnsupportedError,
)
from sealgate.oci.descriptor import Descriptor, parse_annotations
from sealgate.oci.store import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = f"{OCI_MANIFEST},{OCI_INDEX},{DOCKER_MANIFEST},{DOCKER_LIST}"
"""The one Accept header of every manifest request: what is asked never depends on what is hoped for (T16)."""

_IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
_SCHEMA_1 = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
_NO_TYPE = frozenset({"", "application/json", "application/octet-stream"})
"""Content types that say nothing; the body decides."""
_IMAGE_FIELDS = ("config", "layers", "fsLayers", "blobs", "history", "signatures")
_TYPE_CHARS = 255


def parse(raw: bytes, content_type: str | None, *, expected: Digest | None, what: str) -> Manifest:
    """Read the bytes of a manifest or index; `what` names it in errors.

    `expected` is the digest it was asked for by (None: asked for by tag); it is compared before anything is read. Raises
    `DigestMismatchError`, `LimitError`, `JsonInvalidError`, `JsonAmbiguousError`, `ManifestAmbiguousError`,
    `ManifestUnsupportedError`, `ManifestInvalidError`, `DigestInvalidError`.

    Of an image manifest config, layers and subject have been read without error afterwards; the entries of an index are
    read by `children`.
    """
    if len(raw) > limits.MANIFEST_BYTES:
        raise LimitError(f"{what} is larger than {limits.MANIFEST_BYTES} bytes")
    if expected is not None:
        expected.check(raw, what)
    digest = expected or Digest.of(raw)
    document = strictjson.parse_object(raw, limit=limits.MANIFEST_BYTES, what=what)
    image_fields = [field for field in _IMAGE_FIELDS if field in document]
    if image_fields and "manifests" in document:
        raise ManifestAmbiguousError(
            f"{what} is an image manifest ({image_fields[0]}) and an index (manifests) at once",
            hint="programs may read different images out of it (CVE-2021-41190); nothing of it is believed",
        )
    media_type = _media_type(document, content_type, what)
    version = document.get("schemaVersion")
    if type(version) is not int or version != 2:
        raise ManifestInvalidError(f"{what}: schemaVersion is not 2")
    found = Manifest(media_type, digest, raw, document)
    if media_type in _INDEXES:
        if not isinstance(document.get("manifests", 0), list | None):
            raise ManifestInvalidError(f"{what}: an index without a list of manifests")
    else:
        if "config" not in document or not isinstance(document.get("layers", 0), list | None):
            raise ManifestInvalidError(f"{what}: an image manifest without config or layers")
        config(found)
        layers(found)
    subject(found)
    return found


def children(manifest: Manifest, *, skip_malformed: bool = False) -> tuple[Descriptor, ...]:
    """The entries of an index, in order; none for an image manifest.

    `skip_malformed` leaves out entries that cannot be read instead of raising. It is for the referrers fallback index
    only, which everyone who may push can write into: a junk entry must not hide the others.
    """
    entries = manifest.document.get("manifests") or []
    if len(entries) > limits.INDEX_CHILDREN:
        raise LimitError(f"index {manifest.digest} has more than {limits.INDEX_CHILDREN} entries")
    found = []
    for entry in entries:
        try:
            found.append(_descriptor(entry, f"index {manifest.digest}"))
        except ContentError:
            if not skip_malformed:
                raise
    return tuple(found)


def says_index(entry: Descriptor) -> bool:
    """Whether an entry of an index says that it is an index itself. The entry's bytes decide, once they are there."""
    return entry.media_type in _INDEXES


def layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """The layers of an image manifest, in order; none for an index."""
    entries = manifest.document.get("layers") or []
    if len(entries) > limits.MANIFEST_LAYERS:
        raise LimitError(f"manifest {manifest.digest} has more than {limits.MANIFEST_LAYERS} layers")
    return tuple(_descriptor(entry, f"manifest {manifest.digest}") for entry in entries)


def config(manifest: Manifest) -> Descriptor | None:
    """The config of an image manifest; None for an index."""
    if "config" not in manifest.document:
        return None
    return _descriptor(manifest.document["config"], f"manifest {manifest.digest}")


def subject(manifest: Manifest) -> Descriptor | None:
    """What the manifest says it is attached to. A claim of whoever pushed it, a hint."""
    found = manifest.document.get("subject")
    return None if found is None else _descriptor(found, f"manifest {manifest.digest}")


def artifact_type(manifest: Manifest) -> str | None:
    """`artifactType`, or else the config's media type (image specification, manifest.md, "Guidelines for Artifact Usage")."""
    found = manifest.document.get("artifactType")
    if isinstance(found, str) and found:
        return found
    described = config(manifest)
    return described.media_type if described else None


def annotations(manifest: Manifest) -> dict[str, str]:  # type: ignore[no-redef]  # the import above is no name
    """The annotations of the manifest itself. Claims of whoever pushed it, hints."""
    return dict(parse_annotations(manifest.document.get("annotations"), f"manifest {manifest.digest}"))


def encode_image_manifest(
    config: Descriptor,
    layers: Iterable[Descriptor | Mapping[str, Any]],
    *,
    annotations: Mapping[str, str] | None = None,
    subject: Descriptor | None = None,
    artifact_type: str | None = None,
    media_type: str = OCI_MANIFEST,
) -> bytes:
    """The bytes of an image manifest as cosign writes them: compact, annotations sorted, nothing at the end.

    Layers given as mappings (of a manifest that is added to) keep every field they have.
    """
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _entry(config),
        "layers": [_entry(layer) for layer in layers],
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    if subject is not None:
        document["subject"] = _entry(subject)
    if artifact_type is not None:
        document["artifactType"] = artifact_type
    return encode_json(document)


def encode_index(
    manifests: Iterable[Descriptor | Mapping[str, Any]],
    *,
    annotations: Mapping[str, str] | None = None,
    media_type: str = OCI_INDEX,
) -> bytes:
    """The bytes of an index, as above. Entries given as mappings keep every field they have."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [_entry(entry) for entry in manifests],
    }
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return encode_json(document)


def encode_json(value: object) -> bytes:
    """Compact JSON as Go's `encoding/json` writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, other text as UTF-8.

    Keys keep their order.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        if char in text:
            text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def _media_type(document: dict[str, Any], content_type: str | None, what: str) -> str:
    """The one type on which the body, the Content-Type and the shape agree."""
    said = (content_type or "").partition(";")[0].strip(" \t").lower()
    written = document.get("mediaType")
    if written is not None and (not isinstance(written, str) or not 0 < len(written) <= _TYPE_CHARS):
        raise ManifestInvalidError(f"{what}: mediaType is not a media type")
    version = document.get("schemaVersion")
    if said in _SCHEMA_1 or written in _SCHEMA_1 or (type(version) is int and version == 1) or "fsLayers" in document:
        raise ManifestUnsupportedError(
            f"{what} is a manifest of schema 1, whose digest does not cover its bytes",
            hint="push the image again with a tool of this decade",
        )
    is_index = "manifests" in document
    if said in _NO_TYPE:
        media_type = written or (OCI_INDEX if is_index else OCI_MANIFEST)
    elif written is not None and written != said:
        raise ManifestAmbiguousError(
            f"{what}: the registry says {said[:_TYPE_CHARS]!a}, the document says {written!a}",
            hint="programs may read different images out of it; nothing of it is believed",
        )
    else:
        media_type = said
    if media_type not in _IMAGES and media_type not in _INDEXES:
        raise ManifestUnsupportedError(
            f"{what} is of the type {media_type[:_TYPE_CHARS]!a}, which is not read here",
            hint="OCI image manifests and indexes, Docker manifests (schema 2) and lists are",
        )
    if (media_type in _INDEXES) != is_index:
        raise ManifestAmbiguousError(f"{what} is called {media_type}, but has the fields of another kind")
    return media_type


def _descriptor(document: object, what: str) -> Descriptor:
    """A descriptor; inline `data` must be what the digest and the size say (image specification, descriptor.md; M13)."""
    found = Descriptor.parse(document, what)
    data = document.get("data") if isinstance(document, dict) else None
    if data is None:
        return found
    import base64

    try:
        content = base64.b64decode(data, validate=True)
    except (ValueError, TypeError) as error:
        raise ManifestInvalidError(f"{what}: inline data is not base64") from error
    if len(content) != found.size or Digest.of(content, found.digest.algorithm) != found.digest:
        raise DigestMismatchError(f"{what}: inline data is not the content of {found.digest}")
    return found


def _entry(entry: Descriptor | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(entry, Descriptor):
        return dict(entry)
    if len(entry.annotations) > 1:
        entry = entry._replace(annotations=tuple(sorted(entry.annotations)))
    return entry.as_json()
