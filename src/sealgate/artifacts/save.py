"""Saving an image with everything attached to an OCI layout that cosign reads, and loading such a layout.

cosign marks entries of index.json by an annotation `kind`. Bundles and other referrers, which cosign leaves unlisted, are
listed too, so that other tools find them; layouts that cosign wrote are read by the `subject` of what lies in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import transfer
from sealgate.artifacts.copy import Copied, CopyOptions, copy
from sealgate.errors import UsageError
from sealgate.oci.images import Image
from sealgate.oci.layout_index import KIND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.artifacts.transfer import Status
    from sealgate.oci.layout import LayoutStore

IMAGE_KIND = "dev.cosignproject.cosign/image"
INDEX_KIND = "dev.cosignproject.cosign/imageIndex"


async def save(
    source: Image,
    layout: LayoutStore,
    *,
    told: Callable[[str], None] = lambda _: None,
    progress: Callable[[Status], None] = lambda _: None,
) -> Copied:
    """Save `source` to a layout that is new, empty, or holds this image already.

    Raises `ImageNotFoundError`, `LayoutInvalidError`, `UsageError` (it holds another image), and what the stores raise.
    """
    root = await attacheds.resolve(source)
    others = [entry for entry in layout.layout.index().images() if entry.descriptor.digest != root.digest]
    kept = {entry.descriptor.digest for entry in others}
    planned = await transfer.plan(root, attacheds.stores_of(source), source=source.store)
    if kept - {manifest.digest for rank in planned.ranks for manifest in rank}:
        raise UsageError(
            f"{layout.name} holds another image",
            hint="give a new directory, or add to the layout by `sealgate copy IMAGE oci:DIR:tag`",
        )
    for problem in planned.left_out:
        told(f"warning: {problem.message}; it cannot be saved [{problem.code}]")
    moved = await transfer.move_content(planned, layout, progress=progress)
    kind = INDEX_KIND if root.is_index else IMAGE_KIND
    await layout.list_entry(root.descriptor()._replace(annotations=((KIND, kind),)))
    await transfer.move_attachments(planned, layout, force=True, told=told)
    return Copied(source.name, layout.name, root.digest, len(planned.hanging), moved, planned.left_out)


async def load(
    layout: LayoutStore,
    target: Image,
    *,
    told: Callable[[str], None] = lambda _: None,
    progress: Callable[[Status], None] = lambda _: None,
) -> Copied:
    """Load the image of a layout to `target`, as cosign without asking whether the tag was something else.

    Raises `ImageNotFoundError`, `UsageError` (several images), and what the stores raise.
    """
    digest = (await layout.only_image()).digest
    source = Image(layout.name, layout, digest, layout)
    return await copy(source, target, CopyOptions(force=True), told=told, progress=progress)
