"""The deployment gate: judge every image of every object by policies, and write what was verified back.

One judge for the whole run: an image that stands in ten manifests is asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import WorkloadInvalidError
from sealgate.gate.manifests import Deployed, Manifest, objects
from sealgate.policy.evaluate import Index, evaluate
from sealgate.transport import flow
from sealgate.workloads import rewriting

if TYPE_CHECKING:
    from sealgate.policy.decision import Decision
    from sealgate.policy.evaluate import Judge

OBJECTS_AT_ONCE = 16


class Gated(NamedTuple):
    """One object, judged."""

    deployed: Deployed
    decision: Decision


async def gate(found: Sequence[Deployed], index: Index, judge: Judge, *, clock: Callable[[], float]) -> list[Gated]:
    """The decisions on these objects, in order; objects without images have none. Never raises a `SealgateError`."""
    with_images = [each for each in found if each.images]
    decisions = await flow.gather(
        [evaluate(index, each.workload, each.images, judge, clock=clock) for each in with_images], limit=OBJECTS_AT_ONCE
    )
    return [Gated(deployed, decision) for deployed, decision in zip(with_images, decisions, strict=True)]


def exit_code(gated: Iterable[Gated]) -> int:
    """0; 16 when any object is refused; 14 when all that is denied is denied because nobody could be asked."""
    codes = {each.decision.exit_code for each in gated} - {0}
    return 14 if codes == {14} else 16 if codes else 0


def pinned(manifest: Manifest, gated: Sequence[Gated]) -> bytes:
    """The file with the digest that was verified behind each name: `name:tag@sha256:…`.

    Images that no policy asked proof of, and those that were not accepted, stay as they are. Raises `WorkloadInvalidError`.
    """
    changes: dict[tuple[int, str], tuple[str, str]] = {}
    for deployed, decision in gated:
        if deployed.manifest.name != manifest.name:
            continue
        for placed, image in zip(deployed.images, decision.images, strict=True):
            if image.verified and image.digest is not None and "@" not in placed.image and placed.pointer:
                changes[deployed.document, placed.pointer] = (placed.image, f"{placed.image}@{image.digest}")
    if not changes:
        return manifest.raw
    text = rewriting.rewrite(manifest.raw.decode("utf-8"), changes, what=manifest.name)
    written = text.encode("utf-8")
    _check(manifest, written, changes)
    return written


def _check(manifest: Manifest, written: bytes, changes: dict[tuple[int, str], tuple[str, str]]) -> None:
    """What was written must mean what it meant, with the new names and nothing else new (an anchor may stand elsewhere too)."""
    before = [(each.document, image) for each in objects(manifest, namespace="") for image in each.images]
    after = [
        (each.document, image)
        for each in objects(manifest._replace(raw=written), namespace="")
        for image in each.images
    ]
    wanted = [
        (document, image._replace(image=changes.get((document, image.pointer), ("", image.image))[1]))
        for document, image in before
    ]
    if after != wanted:
        raise WorkloadInvalidError(
            f"{manifest.name} cannot be rewritten without changing something else",
            hint="names that anchors share: write each of them out",
        )
