"""An OCI image layout directory as a store: `oci:DIR`, equal to a registry in everything.

`Layout` is the directory (blocking, plain); `LayoutStore` is its face as a `Store`. Everything read is hashed, nothing
outside the directory is touched (`layout_files`), writers are ordered by a lock and lose nothing. A layout answers for
referrers itself: by the `subject` of every manifest in it, listed in index.json or not (cosign's `save` does not list them).

Source: OCI image specification 1.1, image-layout.md; OCI distribution specification 1.1, "Listing Referrers".
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from sealgate import limits, strictjson
from sealgate.digest import Digest
from sealgate.errors import (
    ContentError,
    DigestMismatchError,
    ImageNotFoundError,
    LayoutInvalidError,
    LimitError,
    NotFoundError,
    UsageError,
)
from sealgate.oci import layout_index, manifest
from sealgate.oci.descriptor import Descriptor, parse_annotations
from sealgate.oci.layout_files import Files
from sealgate.oci.layout_index import REF_NAME, Entry, Index
from sealgate.oci.store import Manifest, Store
from sealgate.transport.message import FileBody, Sink

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_OWN_NAMES = frozenset({"oci-layout", "index.json", "blobs"})


class Layout:
    """A layout directory. Blocking calls; safe for several threads and processes at once."""

    def __init__(self, files: Files, *, nested: bool = False) -> None:
        self.files = files
        self._nested = nested
        """Whether directories of others (the layouts of a registry) may stand beside its own files."""
        self._subjects: dict[Digest, Digest | None] = {}
        """What each blob says it refers to. A blob's name is its content, so this never goes stale."""
        self._seen: tuple[_OpenFile, tuple[int, ...], Index] | None = None
        """The index.json that was read last. It is kept open, so that no other file can get its inode number."""

    @property
    def path(self) -> str:
        """The directory, for people."""
        return self.files.path

    # -- the directory itself

    def exists(self) -> bool:
        """Whether there is a layout here. Raises `LayoutInvalidError` when something else is."""
        raw = self.files.read("oci-layout", limit=limits.SMALL_BODY_BYTES)
        if raw is None:
            if not self._nested and self.files.names():
                raise LayoutInvalidError(f"{self.path} is not an OCI layout: it has no oci-layout file")
            return False
        try:
            version = strictjson.parse_object(raw, limit=limits.SMALL_BODY_BYTES, what="oci-layout")
        except ContentError as error:
            raise LayoutInvalidError(f"layout {self.path}: {error.message}") from error
        if version.get("imageLayoutVersion") != "1.0.0":
            raise LayoutInvalidError(
                f"layout {self.path} is of the version {str(version.get('imageLayoutVersion'))[:50]!a}; 1.0.0 is read here"
            )
        return True

    def create(self) -> None:
        """Make a layout unless there is one. Only a new or empty directory becomes one."""
        with self.files.directory(create=True):
            pass
        if self.files.read("oci-layout", limit=limits.SMALL_BODY_BYTES) is not None:
            self.exists()
            return
        with self.files.lock():
            if not self._nested and not _OWN_NAMES.issuperset(self.files.names()):
                raise LayoutInvalidError(
                    f"{self.path} is neither an OCI layout nor empty", hint="give a new directory to be written to"
                )
            with self.files.directory("blobs", "sha256", create=True):
                pass
            if self.files.read("index.json", limit=limits.LAYOUT_INDEX_BYTES) is None:
                self.files.write("index.json", data=Index().encode(), durable=True)
            self.files.write("oci-layout", data=_VERSION, durable=True)

    def index(self) -> Index:
        """The index.json as it is now; empty where there is no layout. Raises `LayoutInvalidError`."""
        return self._index() if self.exists() else Index()

    def _index(self) -> Index:
        opened = self.files.open("index.json")
        if opened is None:
            raise LayoutInvalidError(f"layout {self.path} has no index.json")
        file = _OpenFile(opened[0])
        status = os.fstat(file.fd)
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        seen = self._seen
        if seen is not None and seen[1] == version:
            return seen[2]
        index = layout_index.parse(self.files.read_open(file.fd, "index.json"), f"layout {self.path}")
        self._seen = (file, version, index)
        return index

    def _write_index(self, before: Index, after: Index) -> None:
        """To be called under the lock."""
        if after != before:
            self.files.write("index.json", data=after.encode(), durable=True)

    # -- manifests

    def only_image(self) -> Descriptor:
        """What `oci:DIR` means without a tag. Raises `ImageNotFoundError`, or `UsageError` that lists the choices."""
        if not self.exists():
            raise ImageNotFoundError(f"there is no OCI layout at {self.path}")
        images = self._index().images()
        if 1 < len(images) <= limits.INDEX_CHILDREN:
            images = self._roots(images)
        if not images:
            raise ImageNotFoundError(f"layout {self.path} holds no image")
        if len(images) > 1:
            names = [entry.tag or str(entry.descriptor.digest) for entry in images]
            shown = ", ".join(ascii(name[:130])[1:-1] for name in names[:10]) + (", …" if len(names) > 10 else "")
            raise UsageError(
                f"layout {self.path} holds {len(images)} images; name one of them", hint=f"it holds {shown}"
            )
        return images[0].descriptor

    def _roots(self, images: list[Entry]) -> list[Entry]:
        """Without what another entry contains and what is attached to one."""
        inner: set[Digest] = set()
        for entry in images:
            found = self._listed_manifest(entry)
            if found.is_index:
                inner.update(child.digest for child in manifest.children(found))
            if manifest.subject(found) is not None:
                inner.add(found.digest)
        return [entry for entry in images if entry.descriptor.digest not in inner]

    def _entry(self, which: str) -> Entry | None:
        index = self.index()
        if which:
            return index.tagged(which, f"layout {self.path}")
        return index.of(self.only_image().digest)

    def get_manifest(self, which: str | Digest) -> Manifest | None:
        """The manifest of a tag or digest, hashed and parsed; `""` is the only image. None when it is not there."""
        if isinstance(which, str):
            entry = self._entry(which)
            return None if entry is None else self._listed_manifest(entry)
        entry = self.index().of(which)
        raw = self.files.read_blob(which, limit=limits.MANIFEST_BYTES)
        if raw is None:
            return None
        media_type = entry.descriptor.media_type if entry else None
        return manifest.parse(raw, media_type, expected=which, what=f"{which} of layout {self.path}")

    def _listed_manifest(self, entry: Entry) -> Manifest:
        """The manifest of an entry of index.json."""
        descriptor = entry.descriptor
        what = f"{descriptor.digest} of layout {self.path}"
        raw = self.files.read_blob(descriptor.digest, limit=limits.MANIFEST_BYTES)
        if raw is None:
            raise LayoutInvalidError(f"layout {self.path} lists {descriptor.digest}, but does not hold it")
        if len(raw) != descriptor.size:
            raise LayoutInvalidError(f"{what} has {len(raw)} bytes, index.json says {descriptor.size}")
        return manifest.parse(raw, descriptor.media_type, expected=descriptor.digest, what=what)

    def put_manifest(self, raw: bytes, media_type: str, tag: str | None = None) -> Digest:
        """Store and list a manifest, under `tag` when given. The layout is made when there is none."""
        found = manifest.parse(raw, media_type, expected=None, what="the manifest to be written")
        annotations = ((REF_NAME, tag),) if tag is not None else ()
        self.list_entry(found.descriptor()._replace(annotations=annotations), raw)
        return found.digest

    def list_entry(self, descriptor: Descriptor, raw: bytes | None = None) -> None:
        """List a manifest in index.json with the annotations of `descriptor`; `raw` are its bytes unless they are there."""
        self.create()
        with self.files.lock():
            if raw is not None:
                self.files.write_blob([raw], descriptor.digest, durable=True)
            else:
                raw = self.files.read_blob(descriptor.digest, limit=limits.MANIFEST_BYTES)
                if raw is None:
                    raise NotFoundError(f"layout {self.path} does not hold {descriptor.digest}")
            found = manifest.parse(raw, descriptor.media_type, expected=descriptor.digest, what=str(descriptor.digest))
            before = self._index()
            after = before.listed(descriptor._replace(size=len(raw)))
            if found.is_index:
                after = after.without_bare(frozenset(child.digest for child in manifest.children(found)))
            self._write_index(before, after)

    def delete_manifest(self, which: str | Digest) -> bool:
        """Delete a tag, or a manifest with all its tags; False when it is not there. Layers stay."""
        if not self.exists():
            return False
        with self.files.lock():
            before = self._index()
            if isinstance(which, str):
                entry = before.tagged(which, f"layout {self.path}")
                after = before.without_tag(which)
                if entry is not None and after.of(entry.descriptor.digest) is None and self._subject(entry.descriptor):
                    after = after.listed(entry.descriptor._replace(annotations=()))
                self._write_index(before, after)
                return after != before
            after = before.without_digest(which)
            if after == before and not self._is_manifest(which):
                return False
            self._write_index(before, after)
            return self.files.remove_blob(which) or after != before

    def _is_manifest(self, digest: Digest) -> bool:
        size = self.files.has_blob(digest)
        if size is None or size > limits.MANIFEST_BYTES:
            return False
        try:
            raw = self.files.read_blob(digest, limit=limits.MANIFEST_BYTES)
            return raw is not None and bool(manifest.parse(raw, None, expected=digest, what=str(digest)))
        except ContentError:
            return False

    # -- referrers

    def referrers(self, subject: Digest) -> list[Descriptor]:
        """What refers to `subject`, whether index.json lists it or not; first what it lists, in its order.

        Every small blob that looks like JSON is read once. Nothing is hashed here; whoever fetches one hashes it.
        """
        listed = [entry.descriptor.digest for entry in self.index().entries]
        if len(self._subjects) > 2 * limits.LAYOUT_ENTRIES:
            self._subjects.clear()
        order = {digest: position for position, digest in enumerate(listed)}
        found: dict[Digest, Descriptor] = {}
        for digest, item in self.files.blobs():
            known = self._subjects.get(digest, digest)
            if digest == subject or known not in (digest, subject):
                continue
            with suppress(FileNotFoundError):  # deleted meanwhile
                size = item.stat(follow_symlinks=False).st_size
                document = self._document(digest) if size <= limits.MANIFEST_BYTES else None
                if known == digest:
                    self._subjects[digest] = known = _subject_of(document)
                if known == subject and document is not None:
                    found[digest] = _referrer(digest, size, document)
        return sorted(found.values(), key=lambda item: (order.get(item.digest, len(order)), item.digest))

    def _document(self, digest: Digest) -> dict[str, Any] | None:
        """A blob that may be a manifest with a subject, parsed; None for everything else."""
        opened = self.files.open_blob(digest)
        if opened is None:
            return None
        fd, _ = opened
        try:
            raw = b""
            for chunk in self.files.chunks(fd):
                raw += chunk
                if not raw.lstrip().startswith(b"{") or len(raw) > limits.MANIFEST_BYTES:
                    return None
        finally:
            os.close(fd)
        if b'"subject"' not in raw:
            return None
        try:
            return strictjson.parse_object(raw, limit=limits.MANIFEST_BYTES, what=str(digest))
        except ContentError:
            return None

    def _subject(self, descriptor: Descriptor) -> Digest | None:
        return _subject_of(self._document(descriptor.digest))


class _OpenFile:
    """A file descriptor that is closed with its last user."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def _subject_of(document: dict[str, Any] | None) -> Digest | None:
    subject = (document or {}).get("subject")
    try:
        return Digest.parse(subject.get("digest")) if isinstance(subject, dict) else None
    except ContentError:
        return None


def _referrer(digest: Digest, size: int, document: dict[str, Any]) -> Descriptor:
    """The descriptor of a referrer, as the distribution specification has it ("Listing Referrers")."""
    media_type = document.get("mediaType")
    if not isinstance(media_type, str) or not 0 < len(media_type) <= 255:
        media_type = manifest.OCI_INDEX if "manifests" in document else manifest.OCI_MANIFEST
    artifact_type = document.get("artifactType")
    if not isinstance(artifact_type, str) or not artifact_type:
        config = document.get("config")
        artifact_type = config.get("mediaType") if isinstance(config, dict) else None
    try:
        annotations = parse_annotations(document.get("annotations"), str(digest))
    except ContentError:
        annotations = ()
    return Descriptor(media_type, size, digest, annotations, artifact_type if isinstance(artifact_type, str) else None)


def _intact(files: Files, digest: Digest, size: int) -> bool:
    try:
        return files.read_blob(digest, limit=size) is not None
    except ContentError:
        return False


class LayoutStore(Store):
    """A layout as a `Store`. The directory is made when something is first written."""

    def __init__(self, directory: str | Layout, *, name: str | None = None) -> None:
        self.layout = directory if isinstance(directory, Layout) else Layout(Files(directory))
        self._name = name or f"oci:{self.layout.path}"

    @property
    def name(self) -> str:
        """`oci:DIR`, or what the maker says."""
        return self._name

    async def only_image(self) -> Descriptor:
        """What the layout means without a tag. Raises `ImageNotFoundError`, or `UsageError` that lists the choices."""
        return self.layout.only_image()

    async def get_manifest(self, which: str | Digest) -> Manifest | None:
        """As the protocol; `""` is the only image. An empty or absent directory has nothing."""
        return self.layout.get_manifest(which)

    async def head_manifest(self, which: str | Digest) -> Descriptor | None:
        """As the protocol."""
        found = self.layout.get_manifest(which)
        return None if found is None else found.descriptor()

    async def get_blob(self, digest: Digest, *, limit: int) -> bytes:
        """As the protocol."""
        found = self.layout.files.read_blob(digest, limit=limit)
        if found is None:
            raise NotFoundError(f"layout {self.layout.path} has no blob {digest}")
        return found

    async def get_blob_to(self, digest: Digest, sink: Sink) -> None:
        """As the protocol."""
        import hashlib

        opened = self.layout.files.open_blob(digest)
        if opened is None:
            raise NotFoundError(f"layout {self.layout.path} has no blob {digest}")
        fd, size = opened
        try:
            if size > limits.BLOB_BYTES:
                raise LimitError(f"blob {digest} is larger than {limits.BLOB_BYTES} bytes")
            hasher = hashlib.new(digest.algorithm)
            sink.restart()
            for chunk in self.layout.files.chunks(fd):
                hasher.update(chunk)
                sink.write(chunk)
        finally:
            os.close(fd)
        if hasher.hexdigest() != digest.hex:
            raise DigestMismatchError(f"blob {digest} of layout {self.layout.path} hashes to another digest")

    async def has_blob(self, digest: Digest) -> bool:
        """As the protocol."""
        return self.layout.files.has_blob(digest) is not None

    async def put_blob(self, body: bytes | FileBody, digest: Digest) -> None:
        """As the protocol. A blob of another size under this name is the rest of a crash, and is written again."""
        files = self.layout.files
        self.layout.create()
        if isinstance(body, bytes):
            digest.check(body, f"bytes to be stored as {digest}")
            if files.has_blob(digest) != len(body) or not _intact(files, digest, len(body)):
                files.write_blob([body], digest)
        elif files.has_blob(digest) != body.size:
            files.copy_blob(body.path, digest)

    async def mount_blob(self, digest: Digest, source: Store) -> bool:
        """As the protocol: from another layout."""
        if not isinstance(source, LayoutStore):
            return False
        self.layout.create()
        return self.layout.files.link_blob(digest, source.layout.files)

    async def put_manifest(self, raw: bytes, media_type: str, tag: str | None = None) -> Digest:
        """As the protocol."""
        return self.layout.put_manifest(raw, media_type, tag)

    async def list_entry(self, descriptor: Descriptor) -> None:
        """List a manifest that is there in index.json, with the annotations of `descriptor` (cosign's `kind`, a name)."""
        self.layout.list_entry(descriptor)

    async def delete_manifest(self, which: str | Digest) -> bool:
        """As the protocol."""
        return self.layout.delete_manifest(which)

    async def list_referrers(self, subject: Digest) -> list[Descriptor]:
        """As the protocol; a layout always answers."""
        return self.layout.referrers(subject)

    async def list_tags(self) -> list[str]:
        """As the protocol."""
        return self.layout.index().tags()
