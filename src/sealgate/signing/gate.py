"""The scan gate as a flow: what an image consists of is asked of where it lies, then the reports are judged.

The digest that was judged is the one to go on with: a tag may move between the judgement and the signature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import ImageNotFoundError, ManifestUnsupportedError
from sealgate.oci import manifest as manifests
from sealgate.scan.binding import Part, Target
from sealgate.scan.judge import Decision, Policy, judge
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.oci.descriptor import Descriptor
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest, Store
    from sealgate.scan.report import Report

_AT_ONCE = 8
_CONFIGS = (".image.config.v1+json", ".container.image.v1+json")
_EMPTY_BYTES = 2
"""`{}`"""
_ATTESTATION = "vnd.docker.reference.type"
"""BuildKit's annotation of index entries that are no images."""


class Gate(NamedTuple):
    """What is judged, and by what."""

    reports: tuple[Report, ...]
    policy: Policy
    now: float


async def target_of(where: Image) -> tuple[Image, Target]:
    """The image pinned to its digest, and its platforms with their config digests.

    Raises `ImageNotFoundError`, `ManifestUnsupportedError` (an index in an index, or without images), and what stores raise.
    """
    found = await where.store.get_manifest(where.which)
    if found is None:
        raise ImageNotFoundError(f"{where.name} does not exist", hint="push the image first")
    if found.is_index:
        entries = [entry for entry in manifests.children(found) if not _is_attestation(entry)]
        parts = await flow.gather([_child(where.store, entry) for entry in entries], limit=_AT_ONCE)
    else:
        parts = [_part(found, "")]
    if not parts:
        raise ManifestUnsupportedError(f"{where.name} is an index without images: there is nothing to scan")
    name = f"{where.store.name}@{found.digest}"
    repository = None if where.location is None else where.location.name
    return where._replace(which=found.digest), Target(name, str(found.digest), tuple(parts), repository)


async def decide(targets: list[Target], gate: Gate) -> list[Decision]:
    """One decision an image, in order; the reports are shared between them."""
    return judge(targets, gate.reports, gate.policy, now=gate.now)


async def pass_gate(places: list[Image], gate: Gate) -> tuple[list[Image], list[Decision]]:
    """The images, pinned to the digests that were judged. Raises the first refusal: then nothing may be done to any."""
    found = await flow.gather([target_of(place) for place in places], limit=_AT_ONCE)
    decisions = await decide([target for _, target in found], gate)
    for decision in decisions:
        if (refusal := decision.refusal()) is not None:
            raise refusal
    return [place for place, _ in found], decisions


def _is_attestation(entry: Descriptor) -> bool:
    """Nothing else may hide from the gate: without a platform a runtime takes what the config says."""
    return entry.annotation(_ATTESTATION) is not None and entry.platform == "unknown/unknown"


async def _child(store: Store, entry: Descriptor) -> Part:
    found = await store.get_manifest(entry.digest)
    if found is None:
        raise ImageNotFoundError(f"{store.name}@{entry.digest} is listed by the index and does not exist")
    if found.is_index:
        raise ManifestUnsupportedError(f"{store.name}@{entry.digest}: an index in an index has no scan report")
    return _part(found, entry.platform or "")


def _part(found: Manifest, platform: str) -> Part:
    """Only the config of an image commits to its layers; artifacts share one, the empty object, whatever is in them."""
    config = manifests.config(found)
    if config is None or not config.media_type.endswith(_CONFIGS) or config.size <= _EMPTY_BYTES:
        return Part(str(found.digest), "", platform)
    return Part(str(found.digest), str(config.digest), platform)
