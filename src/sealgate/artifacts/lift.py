"""Lifting: what BuildKit says of the images it builds, signed as attestations of these images.

Each Statement is signed byte for byte as BuildKit wrote it, after it was read: it must be about the image it is filed under
and about nothing else, of the type it is filed under. Who lifts vouches for it; so lift what you have built yourself, by
its digest, before anybody else can push to the repository.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit
from sealgate.errors import NoAttestationError, SealgateError, StatementInvalidError
from sealgate.signing.attest import Wording, attest
from sealgate.transport import flow
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sealgate.artifacts.buildkit import Said
    from sealgate.keys.signer import Signer
    from sealgate.oci.images import Image
    from sealgate.signing.attest import Attestation
    from sealgate.signing.author import Author
    from sealgate.signing.sign import SignOptions


class Lifted(NamedTuple):
    """One Statement that was read and is about to be signed."""

    image: Image
    """The image that it is about, pinned to its digest."""
    platform: str | None
    predicate_type: str
    statement: bytes


async def find(
    image: Image,
    *,
    types: frozenset[str] = frozenset(),
    platform: str | None = None,
    limit: int = limits.EVIDENCE_BYTES,
) -> list[Lifted]:
    """BuildKit's Statements about the images of an index, or about one image; of these `types` (URIs), when given.

    All of them, or none: raises `StatementInvalidError` when one is not about the image it is filed under, or not of the
    type; `NoAttestationError` when there is none; `ImageNotFoundError`, `LimitError` and what the store raises.
    """
    manifest = await attacheds.resolve(image)
    of = None if platform is None else platform_child(manifest, platform, image.name)
    listed = await buildkit.find(image.store, manifest, of=of)
    wanted = [said for said in listed if not types or said.predicate_type is None or said.predicate_type in types]
    if manifest.is_index:
        there = {entry.digest for entry in buildkit.images(manifest)}
        for said in wanted:
            if said.problem is None and said.image not in there:
                raise StatementInvalidError(
                    f"{said.manifest} is filed under {said.image or 'no image'}, which is not in {image.name}"
                )
    found = await flow.gather([_read(image, said, limit) for said in wanted], limit=8)
    found = [lifted for lifted in found if not types or lifted.predicate_type in types]
    if not found:
        kinds = ", ".join(sorted({said.predicate_type or "unknown" for said in listed}))
        raise NoAttestationError(
            f"{image.name}: BuildKit left {'none of these types; there are: ' + kinds if listed else 'no attestations'}",
            hint="docker buildx build --provenance=mode=max --sbom=true --push, and lift the index by its digest",
        )
    return list(dict.fromkeys(found))


async def _read(image: Image, said: Said, limit: int) -> Lifted:
    content = await buildkit.fetch(image.store, said, limit=limit)
    statement = buildkit.read(content, said, limit=limit)
    if said.image is None:  # `read` has refused that
        raise StatementInvalidError(f"{said.manifest} is filed under no image")
    name = f"{image.store.name}@{said.image}"
    return Lifted(image._replace(name=name, which=said.image), said.platform, statement.predicate_type, content)


async def sign(
    found: list[Lifted],
    signers: Sequence[Signer | Author],
    options: SignOptions,
    *,
    replace: bool = False,
    limit: int = limits.EVIDENCE_BYTES,
    told: Callable[[str], None] = lambda _: None,
) -> list[Attestation]:
    """Sign every Statement and attach it to the image it is about. The same one by the same key is not attached again.

    Statements of one image one after another: they may share a tag. Raises what `attest` raises.
    """
    groups: dict[str, list[Lifted]] = {}
    for lifted in found:
        groups.setdefault(lifted.image.name, []).append(lifted)

    async def of_one_image(mine: list[Lifted]) -> list[Attestation]:
        made: list[Attestation] = []
        replaced: set[str] = set()
        for lifted in mine:
            first = lifted.predicate_type not in replaced  # what is lifted does not replace itself
            replaced.add(lifted.predicate_type)
            made += await attest(
                lifted.image, signers, Wording(given=lifted.statement), options,
                replace=replace and first, limit=limit, told=told,
            )  # fmt: skip
        return made

    outcomes = await flow.settle([of_one_image(mine) for mine in groups.values()], limit=8)
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            raise outcome
    return [one for outcome in outcomes if not isinstance(outcome, SealgateError) for one in outcome]
