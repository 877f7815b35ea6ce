"""Deleting what is attached to an image, and nothing else.

Whoever may push can put any manifest of the repository under a tag of cosign's or into the fallback index, so the word of a
list is no reason to delete: a manifest goes only when it refers to the image itself or looks like what cosign attaches.
Entries go from the fallback index before their manifests: a registry may not take an index of what is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate.artifacts import attached as attacheds
from sealgate.errors import ContentError, NotFoundError, NotKeptError, SealgateError
from sealgate.evidence import bundle as bundles
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.artifacts.attached import Attached
    from sealgate.digest import Digest
    from sealgate.oci.images import Image
    from sealgate.oci.store import Store

Type = Literal["signature", "attestation", "sbom", "referrer", "all"]

_KINDS = {"signature": "sig", "attestation": "att", "sbom": "sbom"}
_TRIES = 8


class Doomed(NamedTuple):
    """What `clean` would delete, and what it would not."""

    image: Digest
    name: str
    items: tuple[Attached, ...]
    kept: tuple[SealgateError, ...]
    """Why something that seems to be attached is left alone."""
    missing: frozenset[str]
    """Digests that the fallback index lists and that are not there; with one of them registries refuse to take it again."""


async def find(image: Image, type_: Type, *, prefix: str = "") -> Doomed:
    """What of this type hangs on `image`. Signatures and attestations are looked for in both formats.

    Raises `ImageNotFoundError` for a tag that does not exist, `UnavailableError` when something could not be asked.
    """
    digest = await attacheds.digest_of(image)
    listing = await attacheds.list_attached(attacheds.stores_of(image), digest, prefix=prefix)
    kept = [problem for problem in listing.problems if isinstance(problem, ContentError)]
    for problem in listing.problems:
        if problem not in kept:
            raise problem
    protected = await _protected(image, digest)
    kinds = await flow.gather([_kind(item) for item in listing.attached], limit=attacheds.AT_ONCE)
    items: list[Attached] = []
    for item, kind in zip(listing.attached, kinds, strict=True):
        if not (type_ == "all" or (type_ == "referrer" and item.origin == "referrer") or kind == _KINDS.get(type_)):
            continue
        why = _why_not(item, protected)
        if why is None:
            items.append(item)
        else:
            kept.append(ContentError(f"{item.location} is left alone: {why}"))
    missing = frozenset(str(item.digest) for item in listing.attached if isinstance(item.problem, NotFoundError))
    return Doomed(digest, f"{image.store.name}@{digest}", tuple(items), tuple(kept), missing)


async def _kind(item: Attached) -> attacheds.Kind:
    """What is listed and not there, or is junk, is `other`; raises when it could not be asked for."""
    if item.problem is not None and not isinstance(item.problem, ContentError | NotFoundError):
        raise item.problem
    return "other" if item.manifest is None else await attacheds.kind_of(item)


async def _protected(image: Image, digest: Digest) -> set[Digest]:
    """The image itself and its children."""
    found = {digest}
    manifest = await image.store.get_manifest(digest)
    if manifest is not None and manifest.is_index:
        found.update(child.digest for child in manifests.children(manifest, skip_malformed=True))
    return found


def _why_not(item: Attached, protected: set[Digest]) -> str | None:
    if item.digest in protected:
        return "it is the image itself, or one of its images"
    if item.manifest is None:
        return None  # only taken off the list
    if item.tag is not None:
        return None if attacheds.is_of_cosign(item) else "its manifest is not what cosign puts under this tag"
    return None


def _is_its_own(item: Attached, image: Digest) -> bool:
    """Whether a listed manifest refers to the image, or is evidence without a subject; others are only taken off the list."""
    if item.manifest is None:
        return False
    subject = manifests.subject(item.manifest)
    if subject is not None:
        return subject.digest == image
    layers = () if item.manifest.is_index else manifests.layers(item.manifest)
    return bool(layers) and all(layer.media_type.startswith(bundles.MEDIA_TYPE_PREFIX) for layer in layers)


async def delete(doomed: Doomed, *, told: Callable[[str], None] = lambda _: None) -> int:
    """Delete what `find` found; `told` hears of each. Returns how many. Raises what the stores raise."""
    removed = 0
    for item in doomed.items:
        if item.tag is not None and await item.store.delete_manifest(item.tag):
            told(f"Removed {item.location} from {doomed.name}")
            removed += 1
    referrers = [item for item in doomed.items if item.tag is None]
    for name in dict.fromkeys(item.store.name for item in referrers):
        mine = [item for item in referrers if item.store.name == name]
        await _unlist(mine[0].store, doomed.image, doomed.missing | {str(item.digest) for item in mine})
        outcomes = await flow.gather([_delete_referrer(item, doomed.image) for item in mine], limit=8)
        for item, done in zip(mine, outcomes, strict=True):
            if done:
                told(f"Removed {item.location} from {doomed.name}")
                removed += 1
    return removed


async def _delete_referrer(item: Attached, image: Digest) -> bool:
    if not _is_its_own(item, image):
        return True  # it is off the list, which is all that tied it to the image
    return await item.store.delete_manifest(item.digest)


async def _unlist(store: Store, image: Digest, gone: frozenset[str]) -> None:
    """Take entries off the fallback index; without any left it goes too. Raises `NotKeptError` when others keep putting them back.

    There is no conditional PUT: read again after writing, as `signing.publish` does.
    """
    tag = attachments.fallback_tag(image)
    for attempt in range(_TRIES):
        index = await store.get_manifest(tag)
        if index is None or not index.is_index or index.digest == image:
            return
        entries = list(index.document["manifests"] or [])
        kept = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("digest") in gone)]
        if len(kept) == len(entries) and entries:
            return
        if kept:
            await store.put_manifest(manifests.encode_index(kept), manifests.OCI_INDEX, tag)
        else:  # by way of an empty index: where tags cannot be deleted, what they point to is, and that may be anybody's
            digest = await store.put_manifest(manifests.encode_index([]), manifests.OCI_INDEX, tag)
            await store.delete_manifest(digest)
        await flow.sleep(0.05 * (attempt + 1))
    raise NotKeptError(
        f"{store.name}:{tag} is rewritten by others again and again; nothing of it was deleted",
        hint="try again when nobody signs the image",
    )
