"""index.json of an OCI layout as a value: which images it names, and how that changes. Pure.

Source: OCI image specification 1.1, image-layout.md; tags are entries annotated `org.opencontainers.image.ref.name`.
cosign's `save` writes no tags: its entries are annotated `kind`, and its signatures are paired with the image beside them.
What other programs wrote into entries is kept when the file is written again.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.digest import Digest
from sealgate.errors import (
    DigestInvalidError,
    JsonInvalidError,
    LayoutInvalidError,
    LimitError,
    ManifestInvalidError,
)
from sealgate.oci.descriptor import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"
KIND = "kind"
IMAGE_KINDS = frozenset({"dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex"})
ATTACHED_KINDS = {
    "dev.cosignproject.cosign/sigs": "sig",
    "dev.cosignproject.cosign/atts": "att",
    "dev.cosignproject.cosign/sboms": "sbom",
}
_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_ATTACHED_TAG = re.compile(r"sha256-([0-9a-f]{64})(?:\.(sig|att|sbom))?")


class Entry(NamedTuple):
    """One entry: its descriptor, and the JSON it came as."""

    descriptor: Descriptor
    document: dict[str, Any]

    @property
    def tag(self) -> str | None:
        """The tag, unless cosign says that it is something attached to an image (which may bear the image's name)."""
        return None if self.attached else self.descriptor.annotation(REF_NAME)

    @property
    def attached(self) -> str | None:
        """`sig`, `att` or `sbom` when cosign's `kind` says so."""
        return ATTACHED_KINDS.get(self.descriptor.annotation(KIND) or "")

    @property
    def is_attachment(self) -> bool:
        """Whether its name or kind says that it hangs on an image."""
        return bool(self.attached or _ATTACHED_TAG.fullmatch(self.tag or ""))


class Index(NamedTuple):
    """An index.json: its entries in order, and its other fields."""

    entries: tuple[Entry, ...] = ()
    fields: tuple[tuple[str, Any], ...] = (("schemaVersion", 2), ("mediaType", _OCI_INDEX))

    def encode(self) -> bytes:
        """The file. Raises `LimitError` when it would be too large to be read again."""
        document = {**dict(self.fields), "manifests": [entry.document for entry in self.entries]}
        raw = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
        if len(self.entries) > limits.LAYOUT_ENTRIES or len(raw) > limits.LAYOUT_INDEX_BYTES:
            raise LimitError(
                f"index.json would have more than {limits.LAYOUT_ENTRIES} entries or {limits.LAYOUT_INDEX_BYTES} bytes"
            )
        return raw

    # -- looking

    def tagged(self, tag: str, what: str) -> Entry | None:
        """The entry of a tag; cosign's unnamed signatures answer to `sha256-<hex>.sig`. None when there is none.

        Raises `LayoutInvalidError` when two entries of other content have the tag.
        """
        found = [entry for entry in self.entries if entry.tag == tag] or self._paired(tag)
        if len({entry.descriptor.digest for entry in found}) > 1:
            raise LayoutInvalidError(
                f"{what}: {len(found)} entries of index.json have the name {tag[:130]!a}",
                hint="name one by its digest: " + ", ".join(str(entry.descriptor.digest) for entry in found[:10]),
            )
        return found[0] if found else None

    def _paired(self, tag: str) -> list[Entry]:
        """What cosign's `save` put beside the image of the tag `sha256-<hex>.<suffix>`."""
        match = _ATTACHED_TAG.fullmatch(tag)
        if match is None or match[2] is None:
            return []
        images = [entry for entry in self.entries if entry.descriptor.annotation(KIND) in IMAGE_KINDS]
        attached = [entry for entry in self.entries if entry.attached == match[2]]
        mine = [entry for entry in images if entry.descriptor.digest == Digest("sha256", match[1])]
        if not mine or len({entry.descriptor.digest for entry in images}) == 1:
            return attached if mine else []
        names = {entry.descriptor.annotation(REF_NAME) for entry in mine} - {None}
        return [entry for entry in attached if entry.descriptor.annotation(REF_NAME) in names]

    def _kind(self, tag: str) -> str | None:
        """The `kind` in place of the tag `sha256-<hex>.<suffix>`, where cosign saved that image and no other."""
        match = _ATTACHED_TAG.fullmatch(tag)
        images = {entry.descriptor.digest for entry in self.entries if entry.descriptor.annotation(KIND) in IMAGE_KINDS}
        if match is None or images != {Digest("sha256", match[1])} or any(entry.tag == tag for entry in self.entries):
            return None
        return next((kind for kind, suffix in ATTACHED_KINDS.items() if suffix == match[2]), None)

    def of(self, digest: Digest) -> Entry | None:
        """The first entry of a digest."""
        return next((entry for entry in self.entries if entry.descriptor.digest == digest), None)

    def tags(self) -> list[str]:
        """Every name, cosign's unnamed signatures included, in order and once."""
        names = dict.fromkeys(entry.tag for entry in self.entries if entry.tag)
        for image in self.entries:
            if image.descriptor.annotation(KIND) in IMAGE_KINDS and image.descriptor.digest.algorithm == "sha256":
                for suffix in ("sig", "att", "sbom"):
                    tag = f"sha256-{image.descriptor.digest.hex}.{suffix}"
                    if self._paired(tag):
                        names[tag] = None
        return [name for name in names if name]

    def images(self) -> list[Entry]:
        """The entries that may be what an unnamed `oci:DIR` means, each digest once; cosign's `kind` decides if it is there."""
        found = {entry.descriptor.digest: entry for entry in reversed(self.entries) if not entry.is_attachment}
        kinds = [entry for entry in found.values() if entry.descriptor.annotation(KIND) in IMAGE_KINDS]
        return list(reversed(kinds or list(found.values())))

    # -- changing

    def listed(self, descriptor: Descriptor) -> Index:
        """With `descriptor` listed, unless its digest is listed already and it has no name or kind of its own.

        A name belongs to one entry: the one that had it loses it. An entry without a name makes way for one that has.
        """
        tag = descriptor.annotation(REF_NAME)
        bare = not descriptor.annotations
        kind = self._kind(tag) if tag else None
        if kind is not None:  # beside an image that cosign saved: where cosign looks
            descriptor, tag = descriptor._replace(annotations=((KIND, kind),)), None
        if bare and self.of(descriptor.digest) is not None:
            return self
        if any(
            entry.descriptor.digest == descriptor.digest
            and (entry.tag or None) == tag
            and set(descriptor.annotations) <= set(entry.descriptor.annotations)
            for entry in self.entries
        ):
            return self
        new = Entry(descriptor, descriptor.as_json())
        kept = tuple(
            entry
            for entry in self.entries
            if not (tag is not None and entry.tag == tag and new.tag == tag)
            and not (kind is not None and entry.descriptor.annotation(KIND) == kind)
            and not (entry.descriptor.digest == descriptor.digest and not entry.descriptor.annotations)
            and entry.document != new.document
        )
        return self._replace(entries=(*kept, new))

    def without_tag(self, tag: str) -> Index:
        """Without the entries of a tag."""
        gone = [entry for entry in self.entries if entry.tag == tag] or self._paired(tag)
        return self._replace(entries=tuple(entry for entry in self.entries if not any(entry is item for item in gone)))

    def without_digest(self, digest: Digest) -> Index:
        """Without every entry of a digest."""
        return self._replace(entries=tuple(entry for entry in self.entries if entry.descriptor.digest != digest))

    def without_bare(self, digests: frozenset[Digest]) -> Index:
        """Without the unannotated entries of `digests`: an index that is listed now names them."""
        return self._replace(
            entries=tuple(
                entry
                for entry in self.entries
                if entry.descriptor.annotations or entry.descriptor.digest not in digests
            )
        )


def parse(raw: bytes, what: str) -> Index:
    """Read index.json. Raises `LayoutInvalidError`, `JsonAmbiguousError`, `LimitError`."""
    try:
        document = strictjson.parse_object(raw, limit=limits.LAYOUT_INDEX_BYTES, what=f"{what}: index.json")
        manifests = document.get("manifests")
        if type(document.get("schemaVersion")) is not int or document["schemaVersion"] != 2:
            raise LayoutInvalidError(f"{what}: index.json is not of schemaVersion 2")
        if document.get("mediaType", _OCI_INDEX) != _OCI_INDEX or not isinstance(manifests, list | None):
            raise LayoutInvalidError(f"{what}: index.json is not an OCI image index")
        if len(manifests or []) > limits.LAYOUT_ENTRIES:
            raise LimitError(f"{what}: index.json has more than {limits.LAYOUT_ENTRIES} entries")
        entries = tuple(Entry(Descriptor.parse(item, f"{what}: index.json"), item) for item in manifests or [])
    except (JsonInvalidError, ManifestInvalidError, DigestInvalidError) as error:
        raise LayoutInvalidError(error.message) from error
    return Index(entries, tuple((key, value) for key, value in document.items() if key != "manifests"))
