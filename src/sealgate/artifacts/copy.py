"""Copying an image with everything attached to it, between registries, layouts and archives.

The tag is set last: it never points to an image whose signatures are still on their way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import transfer
from sealgate.digest import Digest
from sealgate.errors import UsageError
from sealgate.signing.publish import Settling
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.artifacts.transfer import Moved, Plan, Status
    from sealgate.errors import SealgateError
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest

KINDS = ("sig", "att", "sbom", "referrer")


class CopyOptions(NamedTuple):
    """How to copy."""

    force: bool = False
    """Move a tag that points to something else."""
    only: frozenset[str] | None = None
    """Only what is attached of these kinds (`KINDS`); the image's content goes along, its tag does not."""
    platform: str | None = None
    """Only this platform's image of an index."""
    settling: Settling = Settling()


class Copied(NamedTuple):
    """What was copied."""

    source: str
    target: str
    digest: Digest
    attached: int
    """Attached manifests, those on children and on each other included."""
    moved: Moved
    left_out: tuple[SealgateError, ...]
    """Attached things that are listed at the source and not there."""


async def copy(
    source: Image,
    target: Image,
    options: CopyOptions,
    *,
    told: Callable[[str], None] = lambda _: None,
    progress: Callable[[Status], None] = lambda _: None,
) -> Copied:
    """Copy an image, an index with all its images, and everything attached to any of them.

    Raises `ImageNotFoundError`, `TagExistsError`, `UsageError` (a target digest that is another one), and what the stores
    raise. What was moved before an error stays, untagged; the same call again goes on from there.
    """
    root = await _root(source, options.platform)
    tag = _tag(target, root.digest)
    tagged = False
    if tag is not None and options.only is None and not options.force:
        tagged = await transfer.check_tag(target.store, tag, root.digest, target.name)
    stores = attacheds.stores_of(source)
    planned = await transfer.plan(root, stores, source=source.store, only=options.only)
    for problem in planned.left_out:
        told(f"warning: {problem.message}; it cannot be copied [{problem.code}]")
    moved = await transfer.move_content(planned, target.store, progress=progress)
    await transfer.move_attachments(planned, target.store, force=options.force, told=told, settling=options.settling)
    if options.only is None and tag is not None and not tagged:
        told(f"Copying {source.store.name}@{root.digest} to {target.name}...")
        await target.store.put_manifest(root.raw, root.media_type, tag)
    return _copied(source, target, planned, moved)


def _copied(source: Image, target: Image, planned: Plan, moved: Moved) -> Copied:
    return Copied(source.name, target.name, planned.root.digest, len(planned.hanging), moved, planned.left_out)


async def _root(source: Image, platform: str | None) -> Manifest:
    found = await attacheds.resolve(source)
    if platform is None:
        return found
    which = platform_child(found, platform, source.name)
    return await attacheds.resolve(source._replace(name=f"{source.store.name}@{which}", which=which))


def _tag(target: Image, digest: Digest) -> str | None:
    """The tag to set; None: the digest alone. Raises `UsageError` when the target names another digest."""
    if not isinstance(target.which, Digest):
        return target.which or None
    if target.which != digest:
        raise UsageError(
            f"{target.name} is to be {target.which}, but the source is {digest}",
            hint="leave the digest out of the target: it is that of the source",
        )
    return target.location.tag if target.location is not None else None
