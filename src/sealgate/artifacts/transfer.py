"""Moving an image with everything attached from one store to another: a plan first, then the bytes.

The plan is made before anything is written: every manifest, what it needs, and where it hangs. Blobs go through a temporary
file (never memory) and are hashed before they are pushed. Nothing is moved that is there; so a copy that broke off goes on
where it was. Tags and lists that others write too are added to, never replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.digest import Digest
from sealgate.errors import (
    DigestMismatchError,
    ImageNotFoundError,
    LimitError,
    NotFoundError,
    SealgateError,
    TagExistsError,
)
from sealgate.evidence import legacy
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor, parse_annotations
from sealgate.signing.publish import Entry, Settling, SharedTag, add
from sealgate.signing.sign import referrers_tag
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sealgate.artifacts.attached import Attached
    from sealgate.oci.store import Manifest, Store

BLOBS_AT_ONCE = 6
MANIFESTS_AT_ONCE = 12
_IN_MEMORY = 64 * 1024
"""Configs and signatures of up to this size are not worth a temporary file."""
_ELSEWHERE = ("nondistributable", "foreign")
"""Layers of these media types lie on the servers of whoever made them; registries need not have them."""


class Hanging(NamedTuple):
    """One attached manifest and what it hangs on."""

    subject: Digest
    item: Attached
    manifest: Manifest


class Plan(NamedTuple):
    """What is to be moved."""

    root: Manifest
    ranks: tuple[tuple[Manifest, ...], ...]
    """Manifests in groups: what one needs is in a group before it."""
    blobs: tuple[tuple[Descriptor, Store, Digest], ...]
    """Each blob once, where it is, and one manifest that needs it."""
    hanging: tuple[Hanging, ...]
    left_out: tuple[SealgateError, ...]
    """Attached things that are listed and not there, or cannot be read: nothing that could be copied."""


class Status(NamedTuple):
    """How far a transfer is."""

    blobs: int
    of_blobs: int
    moved_bytes: int


class Moved(NamedTuple):
    """What a transfer did."""

    manifests: int
    blobs: int
    mounted: int
    there: int
    """Blobs that were there already."""
    moved_bytes: int


async def plan(root: Manifest, stores: Iterable[Store], *, source: Store, only: frozenset[str] | None = None) -> Plan:
    """Plan to move `root` with its children, and what hangs on any of them in `stores`; `only` of these kinds.

    Kinds: `sig`, `att`, `sbom` (under cosign's tags or as referrers) and `referrer` (all of these). Raises what the stores
    raise when something could not be asked, and `ContentError` for a tag of cosign's whose manifest is junk.
    """
    planner = _Planner(tuple(stores), source, only)
    await planner.add(root, source, 0)
    ranks = [planner.ranks[rank] for rank in sorted(planner.ranks)]
    return Plan(
        root, tuple(map(tuple, ranks)), tuple(planner.blobs.values()), tuple(planner.hanging), tuple(planner.left_out)
    )


class _Planner:
    def __init__(self, stores: tuple[Store, ...], source: Store, only: frozenset[str] | None) -> None:
        self._stores = stores
        self._source = source
        self._only = only
        self._ranks: dict[Digest, int] = {}
        self.ranks: dict[int, list[Manifest]] = {}
        self.blobs: dict[Digest, tuple[Descriptor, Store, Digest]] = {}
        self.hanging: list[Hanging] = []
        self.left_out: list[SealgateError] = []
        self._seen: set[Digest] = set()

    async def add(self, manifest: Manifest, store: Store, depth: int) -> None:
        """Plan a manifest, its children, and everything that hangs on them."""
        if manifest.digest in self._seen:
            return
        if depth > limits.INDEX_DEPTH:
            raise LimitError(f"{manifest.digest}: nested deeper than {limits.INDEX_DEPTH}")
        self._seen.add(manifest.digest)
        if len(self._seen) > limits.MANIFESTS:
            raise LimitError(f"more than {limits.MANIFESTS} manifests belong to one image")
        children = manifests.children(manifest)
        await flow.gather([self._child(child, store, depth) for child in children], limit=MANIFESTS_AT_ONCE)
        rank = 1 + max((self._ranks.get(child.digest, 0) for child in children), default=-1)
        self._ranks[manifest.digest] = rank
        self.ranks.setdefault(rank, []).append(manifest)
        config = manifests.config(manifest)
        for blob in (*([config] if config else []), *manifests.layers(manifest)):
            self.blobs.setdefault(blob.digest, (blob, store, manifest.digest))
        listing = await attacheds.list_attached(self._stores, manifest.digest)
        for item in listing.require():
            if item.manifest is None:
                self.left_out.append(item.problem or NotFoundError(f"{item.location} is not there"))
            elif await self._wanted(item):
                self.hanging.append(Hanging(manifest.digest, item, item.manifest))
                await self.add(item.manifest, item.store, depth + 1)

    async def _child(self, child: Descriptor, store: Store, depth: int) -> None:
        found = await store.get_manifest(child.digest)
        if found is None:
            raise ImageNotFoundError(f"{store.name}@{child.digest} is listed by the index and does not exist")
        await self.add(found, store, depth + 1)

    async def _wanted(self, item: Attached) -> bool:
        if self._only is None or (item.origin == "referrer" and "referrer" in self._only):
            return True
        return await attacheds.kind_of(item) in self._only


async def move_content(planned: Plan, target: Store, *, progress: Callable[[Status], None] = lambda _: None) -> Moved:
    """Bring every blob and manifest to `target`, without a tag. Raises what the stores raise, `DigestMismatchError`."""
    everything = [manifest for rank in planned.ranks for manifest in rank]
    heads = await flow.gather([_is_there(target, manifest.digest) for manifest in everything], limit=MANIFESTS_AT_ONCE)
    there = {manifest.digest for manifest, known in zip(everything, heads, strict=True) if known}
    done = {"moved": 0, "mounted": 0, "there": 0}
    moved_bytes = 0
    todo = [blob for blob in planned.blobs if blob[2] not in there]

    async def move(blob: tuple[Descriptor, Store, Digest]) -> None:
        nonlocal moved_bytes
        how, size = await _move_blob(blob[0], blob[1], target)
        done[how] += 1
        moved_bytes += size
        progress(Status(sum(done.values()), len(todo), moved_bytes))

    progress(Status(0, len(todo), 0))
    await flow.gather([move(blob) for blob in todo], limit=BLOBS_AT_ONCE)
    for rank in planned.ranks:
        missing = [manifest for manifest in rank if manifest.digest not in there]
        await flow.gather(
            [target.put_manifest(manifest.raw, manifest.media_type) for manifest in missing], limit=MANIFESTS_AT_ONCE
        )
    return Moved(len(everything) - len(there), done["moved"], done["mounted"], done["there"], moved_bytes)


async def _is_there(target: Store, digest: Digest) -> bool:
    """Whether a registry has a manifest, and so what it needs. A layout may have been left halfway: every blob is looked at."""
    from sealgate.oci.registry import RegistryStore

    if not isinstance(target, RegistryStore):
        return False
    found = await target.head_manifest(digest)
    return found is not None and found.digest == digest


async def _move_blob(blob: Descriptor, source: Store, target: Store) -> tuple[str, int]:
    if await target.has_blob(blob.digest):
        return "there", 0
    if await target.mount_blob(blob.digest, source):
        return "mounted", 0
    try:
        if blob.size <= _IN_MEMORY:
            content = await source.get_blob(blob.digest, limit=blob.size)
            await target.put_blob(content, blob.digest)
            return "moved", len(content)
        return "moved", await _move_by_file(blob, source, target)
    except NotFoundError:
        if any(word in blob.media_type for word in _ELSEWHERE):
            return "there", 0
        raise


async def _move_by_file(blob: Descriptor, source: Store, target: Store) -> int:
    """Hash while it comes, push only then."""
    import os

    from sealgate.transport.message import FileBody

    spool = _Spool(blob)
    try:
        await source.get_blob_to(blob.digest, spool)
        if spool.size != blob.size:
            raise DigestMismatchError(f"{blob.digest} has {spool.size} bytes, its manifest says {blob.size}")
        await target.put_blob(FileBody(spool.path, spool.size), blob.digest)
        return spool.size
    finally:
        spool.close()
        os.unlink(spool.path)


class _Spool:
    """A temporary file that takes no more than the manifest says."""

    def __init__(self, blob: Descriptor) -> None:
        import tempfile

        self._blob = blob
        self.size = 0
        try:
            self._fd, self.path = tempfile.mkstemp(prefix="sealgate-blob-")
        except OSError as error:
            raise _no_room(error) from error

    def write(self, data: bytes, /) -> None:
        from sealgate.oci.layout_files import write_all

        self.size += len(data)
        if self.size > self._blob.size:
            raise LimitError(f"{self._blob.digest} is larger than the {self._blob.size} bytes that its manifest says")
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise _no_room(error) from error

    def restart(self) -> None:
        import os

        self.size = 0
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)

    def close(self) -> None:
        import os

        os.close(self._fd)


def _no_room(error: OSError) -> SealgateError:
    return SealgateError(f"a temporary file cannot be written: {error.strerror}", hint="TMPDIR says where it is made")


# -- what hangs on it


async def move_attachments(
    planned: Plan,
    target: Store,
    *,
    force: bool,
    told: Callable[[str], None] = lambda _: None,
    settling: Settling = Settling(),  # noqa: B008 - a value
) -> None:
    """List what was moved where verifiers look: in the fallback index where there is no referrers API, under cosign's tags.

    Entries that are there stay. Raises `TagExistsError` for an SBOM's tag that points to another one, unless `force`.
    """
    entries: dict[Digest, list[Entry]] = {}
    tags: list[Hanging] = []
    has_api = True
    if any(hanging.item.tag is None for hanging in planned.hanging):
        has_api = await target.list_referrers(planned.root.digest) is not None
    for hanging in planned.hanging:
        if hanging.item.tag is not None:
            tags.append(hanging)
            continue
        subject = manifests.subject(hanging.manifest)
        if not has_api or subject is None or subject.digest != hanging.subject:
            entries.setdefault(hanging.subject, []).append(describe(hanging.manifest).as_json())
    work: list[Any] = [
        add(referrers_tag(target, subject), listed, settling=settling) for subject, listed in entries.items()
    ]
    work += [_move_tag(hanging, target, force, told, settling) for hanging in tags]
    await flow.gather(work, limit=MANIFESTS_AT_ONCE)


def describe(manifest: Manifest) -> Descriptor:
    """The entry of a referrer in a fallback index, as the distribution specification has it ("Referrers Tag Schema")."""
    annotations = parse_annotations(manifest.document.get("annotations"), str(manifest.digest))
    return Descriptor(
        manifest.media_type, manifest.size, manifest.digest, annotations, manifests.artifact_type(manifest)
    )


async def _move_tag(
    hanging: Hanging,
    target: Store,
    force: bool,  # noqa: FBT001 - private
    told: Callable[[str], None],
    settling: Settling,
) -> None:
    """cosign's tag: put up as it is, or united with what stands there."""
    tag = hanging.item.tag or ""
    manifest = hanging.manifest
    standing = await target.head_manifest(tag)
    if standing is not None and standing.digest == manifest.digest:
        return
    told(f"Copying {hanging.item.location} to {target.name}:{tag}...")
    if hanging.item.origin == "sbom" or manifest.is_index or not manifests.layers(manifest):
        if standing is not None and not force:
            raise exists(f"{target.name}:{tag}")
        await target.put_manifest(manifest.raw, manifest.media_type, tag)
        return
    entries: list[Entry] = list(manifest.document["layers"])
    shared, before_write = _shared_layers(target, tag, manifest)
    await add(shared, entries, settling=settling, before_write=before_write)


def _shared_layers(
    target: Store, tag: str, manifest: Manifest
) -> tuple[SharedTag, Callable[[list[Entry]], flow.Flow[None]]]:
    """The tag `.sig` or `.att` at the target. With no other layers than those of `manifest` it is that manifest itself."""
    own = list(manifest.document["layers"])
    described = manifests.config(manifest)
    config_type = described.media_type if described is not None else legacy.OCI_CONFIG

    def config(entries: list[Entry]) -> bytes:
        return legacy.config([Digest.parse(entry.get("digest")) for entry in entries])

    def read(found: Manifest) -> list[Entry]:
        return list(found.document.get("layers") or [])

    def write(entries: list[Entry]) -> tuple[bytes, str]:
        if entries == own:
            return manifest.raw, manifest.media_type
        body = config(entries)
        new = Descriptor(config_type, len(body), Digest.of(body))
        return manifests.encode_image_manifest(new, entries, media_type=manifest.media_type), manifest.media_type

    async def before_write(entries: list[Entry]) -> None:
        if entries != own:
            body = config(entries)
            await target.put_blob(body, Digest.of(body))

    def identity(entry: Entry) -> tuple[str, tuple[tuple[str, str], ...]]:
        return str(entry.get("digest")), tuple(sorted((entry.get("annotations") or {}).items()))

    return SharedTag(target, tag, read, write, identity), before_write


def exists(name: str) -> TagExistsError:
    """The refusal to move a tag."""
    return TagExistsError(f"{name} already exists, and is something else", hint="-f moves the tag")


async def check_tag(target: Store, tag: str, digest: Digest, name: str) -> bool:
    """Whether `tag` points to `digest` already. Raises `TagExistsError` when it points to something else."""
    standing = await target.head_manifest(tag)
    if standing is not None and standing.digest != digest:
        raise exists(name)
    return standing is not None
