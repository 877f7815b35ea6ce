"""The deployment gate: judge every image of every object by policies, and write what was verified back.

One judge for the whole run: an image that stands in ten manifests is asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import WorkloadInvalidError
from sealgate.gate.manifests import Deployed, Manifest
from sealgate.policy.evaluate import evaluate
from sealgate.policy.index import Index
from sealgate.transport import flow
from sealgate.workloads import rewriting, yamldocs

if TYPE_CHECKING:
    from sealgate.policy.decision import Decision, ImageDecision
    from sealgate.policy.evaluate import Judge

OBJECTS_AT_ONCE = 16


class Gated(NamedTuple):
    """One object, judged."""

    deployed: Deployed
    decision: Decision


async def gate(
    found: Sequence[Deployed], index: Index, judge: Judge, *, clock: Callable[[], float], writes: bool = False
) -> list[Gated]:
    """The decisions on these objects, in order; objects without images have none. Never raises a `SealgateError`.

    `writes`: digests will be written here, so that none is missing.
    """
    with_images = [each for each in found if each.images]
    decisions = await flow.gather(
        [evaluate(index, each.workload, each.images, judge, clock=clock) for each in with_images], limit=OBJECTS_AT_ONCE
    )
    gated = [Gated(deployed, decision) for deployed, decision in zip(with_images, decisions, strict=True)]
    return gated if writes else [each._replace(decision=_with_missing(each)) for each in gated]


def _with_missing(gated: Gated) -> Decision:
    """What the cluster will say of Pods' images without a digest, where rules ask for one and let nobody write it (X09)."""
    if gated.deployed.manifest.form != "kubernetes" or not gated.deployed.known:
        return gated.decision
    return gated.decision._replace(images=tuple(_missing(each) for each in gated.decision.images))


def _missing(image: ImageDecision) -> ImageDecision:
    if "@" in image.image or image.mutates:
        return image
    lacking = [
        each._replace(
            code="digest-missing", outcome="refused", verdicts=(), annotations=(), hint="--write writes it",
            message="the rule asks for a digest in its name, and lets nobody write it there",
        )
        for each in image.rulings
        if each.outcome == "accepted" and each.effect in {"deny", "warn"} and each.digests is not None and each.digests.verify
    ]  # fmt: skip
    return image._replace(rulings=(*image.rulings, *lacking))


def exit_code(gated: Iterable[Gated]) -> int:
    """0; 16 when any object is refused; 14 when all that is denied is denied because nobody could be asked."""
    codes = {each.decision.exit_code for each in gated} - {0}
    return 14 if codes == {14} else 16 if codes else 0


def pinned(manifest: Manifest, gated: Sequence[Gated]) -> bytes:
    """The file with the digest that was verified behind each name: `name:tag@sha256:…`.

    Images that no policy asked proof of, and those that were not accepted, stay as they are. Raises `WorkloadInvalidError`.
    """
    changes: dict[tuple[int, str], tuple[str, str]] = {}
    own = [each for each in gated if each.deployed.manifest.name == manifest.name]
    for deployed, decision in own:
        for placed, image in zip(deployed.images, decision.images, strict=True):
            if image.verified and image.digest is not None and "@" not in placed.image and placed.pointer:
                changes[deployed.document, placed.pointer] = (placed.image, f"{placed.image}@{image.digest}")
    if not changes:
        return manifest.raw
    text = rewriting.rewrite(manifest.raw.decode("utf-8"), changes, what=manifest.name)
    written = text.encode("utf-8")
    _check(manifest, written, changes, extensions=all(each.deployed.manifest.form == "compose" for each in own))
    return written


def _check(
    manifest: Manifest, written: bytes, changes: dict[tuple[int, str], tuple[str, str]], *, extensions: bool
) -> None:
    """What was written must mean what it meant, with the new names and nothing else new (an anchor may stand elsewhere too).

    `extensions`: what stands under `x-…`, of Compose files, means nothing by itself.
    """
    before, after = (
        yamldocs.parse(raw, limit=limits.WORKLOAD_BYTES, what=manifest.name) for raw in (manifest.raw, written)
    )
    found = {
        (number, pointer): pair
        for number, (old, new) in enumerate(zip(before, after, strict=True))
        for pointer, pair in _differences(old, new, "")
    }
    others = found.keys() - changes.keys()
    if extensions:
        others = {(number, pointer) for number, pointer in others if not pointer.startswith("/x-")}
    if others or any(found.get(place) != change for place, change in changes.items()):
        raise WorkloadInvalidError(
            f"{manifest.name} cannot be rewritten without changing something else",
            hint="names that anchors share: write each of them out",
        )


def _differences(old: Any, new: Any, pointer: str) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Where two documents differ (RFC 6901), and how."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key, value in old.items():
            step = str(key).replace("~", "~0").replace("/", "~1")
            yield from _differences(value, new[key], f"{pointer}/{step}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, value in enumerate(old):
            yield from _differences(value, new[number], f"{pointer}/{number}")
    elif old != new:
        yield pointer, (old, new)
