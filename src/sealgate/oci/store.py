"""The protocol of everything that holds manifests and blobs of one repository: a registry or an OCI layout.

All methods are flows (`sealgate.transport.flow`). What comes back has been hashed: the bytes are the bytes of the digest.
Not being able to ask is an `UnavailableError`; not being there is `None` or `ImageNotFoundError`. Never confuse them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from sealgate.digest import Digest
from sealgate.oci.descriptor import Descriptor
from sealgate.transport.message import FileBody, Sink


class Manifest(NamedTuple):
    """A manifest or index as it was fetched: the bytes that hash to `digest`, and the same bytes parsed once."""

    media_type: str
    digest: Digest
    raw: bytes
    document: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.raw)

    @property
    def is_index(self) -> bool:
        """Whether this is an image index or a Docker manifest list."""
        return "manifests" in self.document

    def descriptor(self) -> Descriptor:
        """What a `subject` field says of it."""
        return Descriptor(self.media_type, len(self.raw), self.digest)


class Store(Protocol):
    """One repository."""

    @property
    def name(self) -> str:
        """`registry/repository`, or `oci:DIR`: for people, and the docker-reference of a registry image."""

    async def get_manifest(self, which: str | Digest) -> Manifest | None:
        """The manifest of a tag or digest, hashed, parsed (`manifest.parse`); None when it is not there."""

    async def head_manifest(self, which: str | Digest) -> Descriptor | None:
        """Whether a manifest is there, and its digest, without fetching it. What it says is a hint."""

    async def get_blob(self, digest: Digest, *, limit: int) -> bytes:
        """A blob of at most `limit` bytes, hashed. Raises `NotFoundError`, `LimitError`, `DigestMismatchError`."""

    async def get_blob_to(self, digest: Digest, sink: Sink) -> None:
        """Stream a blob of any size; the caller's sink is told everything, then the hash is checked."""

    async def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there."""

    async def put_blob(self, body: bytes | FileBody, digest: Digest) -> None:
        """Store a blob unless it is there."""

    async def mount_blob(self, digest: Digest, source: Store) -> bool:
        """Take a blob from another repository of the same registry without moving bytes; False when that cannot be done."""

    async def put_manifest(self, raw: bytes, media_type: str, tag: str | None = None) -> Digest:
        """Store a manifest under its digest, and under `tag` when given."""

    async def delete_manifest(self, which: str | Digest) -> bool:
        """Delete a tag or a manifest; False when it is not there."""

    async def list_referrers(self, subject: Digest) -> list[Descriptor] | None:
        """What refers to `subject` by its `subject` field, by the referrers API or its like; None where there is none.

        Without it callers read the fallback tag (`attachments`). Every page is read.
        """

    async def list_tags(self) -> list[str]:
        """Every tag of the repository."""
