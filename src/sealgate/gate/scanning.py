"""The scan gate at the deployment: what policies admit must also have a scan report that lets it pass.

The reports and what is demanded are those of `sealgate sign --scan-report`; the refusal stands among the rulings of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.errors import ImageNotFoundError, SealgateError, UnavailableError
from sealgate.oci.images import Image
from sealgate.oci.reference import parse as parse_reference
from sealgate.policy.decision import Ruling
from sealgate.signing import gate as gates
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealgate.digest import Digest
    from sealgate.gate.gating import Gated
    from sealgate.policy.judging import Stores
    from sealgate.scan.binding import Target
    from sealgate.signing.gate import Gate

RULE = "scan gate"


class Scanned(NamedTuple):
    """Every object with the rulings of the scan gate, and what the reports have to say beside them."""

    gated: list[Gated]
    notes: tuple[str, ...]


async def scan(gated: Sequence[Gated], stores: Stores, gate: Gate) -> Scanned:
    """Judge by scan reports what the policies admitted. The digest that the policies judged is the one that is looked at."""
    wanted: dict[str, Digest | None] = {}
    for each in gated:
        for image in each.decision.images:
            if image.reference is not None and image.severity != "deny":
                wanted.setdefault(image.reference, image.digest)
    found = await flow.settle([_target(name, digest, stores) for name, digest in wanted.items()], limit=8)
    rulings: dict[str, tuple[Ruling, Digest | None]] = {}
    targets: dict[str, tuple[Target, Digest]] = {}
    for name, target in zip(wanted, found, strict=True):
        if isinstance(target, SealgateError):
            rulings[name] = (_failed(target), None)
        else:
            targets[name] = target
    decisions = await gates.decide([target for target, _ in targets.values()], gate)
    for (name, (_, digest)), decision in zip(targets.items(), decisions, strict=True):
        refusal = decision.refusal()
        if refusal is None:
            ruling = Ruling("accepted", RULE, "none", "accepted", "a scan report lets it pass")
        else:
            ruling = _failed(refusal)
        rulings[name] = (ruling, digest)
    notes = tuple(dict.fromkeys(note for decision in decisions for note in decision.notes))
    return Scanned([_with(each, rulings) for each in gated], notes)


def _with(gated: Gated, rulings: dict[str, tuple[Ruling, Digest | None]]) -> Gated:
    images = []
    for image in gated.decision.images:
        ruling, digest = rulings.get(image.reference or "", (None, None))
        if ruling is not None and image.severity != "deny":
            image = image._replace(rulings=(*image.rulings, ruling), digest=image.digest or digest)  # noqa: PLW2901
        images.append(image)
    return gated._replace(decision=gated.decision._replace(images=tuple(images)))


async def _target(name: str, digest: Digest | None, stores: Stores) -> tuple[Target, Digest]:
    reference = parse_reference(name)
    store = stores.repository(reference)
    if digest is None:
        manifest = await store.get_manifest(reference.which)
        if manifest is None:
            raise ImageNotFoundError(f"{name} does not exist", hint="check the name, the tag and the registry")
        digest = manifest.digest
    _, target = await gates.target_of(Image(name, store, digest, store, reference))
    return target, digest


def _failed(error: SealgateError) -> Ruling:
    unknown = isinstance(error, UnavailableError)
    return Ruling(error.code, RULE, "deny", "unknown" if unknown else "refused", error.message, hint=error.hint)
