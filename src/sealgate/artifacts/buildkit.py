"""What BuildKit says of the images it builds: in-toto Statements in the index, signed by nobody. Finding and reading them.

An index entry of the platform unknown/unknown names the image that its Statements are about by an annotation; newer ones
are referrers of that image too. Nothing of it is believed: whoever may push an index may write whatever they like.

Source: moby/buildkit, docs/attestations/attestation-storage.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ContentError, NotFoundError, SealgateError, StatementInvalidError
from sealgate.evidence import attestation as statements
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.artifacts.attached import Attached
    from sealgate.evidence.statement import Statement
    from sealgate.oci.descriptor import Descriptor
    from sealgate.oci.store import Manifest, Store

ARTIFACT_TYPE = attachments.BUILDKIT_TYPE
IN_TOTO = "application/vnd.in-toto+json"
REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION_MANIFEST = "attestation-manifest"
PREDICATE_TYPE = "in-toto.io/predicate-type"
NO_PLATFORM = "unknown/unknown"
_AT_ONCE = 8


class Said(NamedTuple):
    """One Statement of BuildKit's, not fetched yet; or the reason why its manifest could not be brought."""

    manifest: Digest
    """The attestation manifest that has it."""
    image: Digest | None
    """The image that the index or the list of referrers says it is about; None where that is no digest."""
    platform: str | None
    """What the index says of that image; None where it is not listed."""
    layer: Descriptor | None
    problem: SealgateError | None = None

    @property
    def predicate_type(self) -> str | None:
        """What the layer's annotation says. A hint."""
        return None if self.layer is None else self.layer.annotation(PREDICATE_TYPE)


def is_entry(entry: Descriptor) -> bool:
    """Whether an index entry is an attestation manifest and no image: by its platform too, which is what runtimes look at."""
    return entry.annotation(REFERENCE_TYPE) == ATTESTATION_MANIFEST and entry.platform == NO_PLATFORM


def images(index: Manifest) -> list[Descriptor]:
    """The entries of an index that are images. Raises `ManifestInvalidError`."""
    return [entry for entry in manifests.children(index) if not is_entry(entry)]


def layers(manifest: Manifest) -> list[Descriptor]:
    """The Statements of an attestation manifest; layers of unknown types are ignored, as the specification asks."""
    return [layer for layer in manifests.layers(manifest) if layer.media_type == IN_TOTO]


async def find(store: Store, image: Manifest, *, of: Digest | None = None) -> list[Said]:
    """The Statements in an index, or those that refer to an image; with `of` those about this image of the index.

    What cannot be brought or read is in the list, with its problem. Raises what the store raises for the listing.
    """
    if not image.is_index:
        return await referring(store, image.digest)
    listed = {entry.digest: entry.platform for entry in images(image)}
    asked = []
    for entry in manifests.children(image):
        if not is_entry(entry):
            continue
        about = _digest(entry.annotation(REFERENCE_DIGEST))
        if of is None or about == of:
            head = Said(entry.digest, about, None if about is None else listed.get(about), None)
            asked.append(_brought(store, head))
    return [said for found in await flow.gather(asked, limit=_AT_ONCE) for said in found]


async def attached(store: Store, index: Manifest) -> list[Attached]:
    """The attestation manifests of an index, as things that hang on it. Raises `ManifestInvalidError`."""
    entries = [entry for entry in manifests.children(index) if is_entry(entry)]
    return await flow.gather([_attached(store, entry) for entry in entries], limit=_AT_ONCE)


async def _attached(store: Store, entry: Descriptor) -> Attached:
    from sealgate.artifacts.attached import Attached

    item = Attached("index", entry.digest, None, store, entry, None)
    try:
        return item._replace(manifest=await _manifest(store, entry.digest))
    except SealgateError as error:
        return item._replace(problem=error)


async def referring(store: Store, image: Digest) -> list[Said]:
    """The Statements that refer to an image: newer ones have a subject, and are found without the index."""
    listed, problems, _ = await attachments.list_referrers(store, image)
    for problem in problems:
        raise problem
    mine = [entry for entry in listed if entry.artifact_type == ARTIFACT_TYPE][: limits.ATTACHMENTS]
    found = await flow.gather(
        [_brought(store, Said(entry.digest, image, None, None)) for entry in mine], limit=_AT_ONCE
    )
    return [said for each in found for said in each]


async def _brought(store: Store, head: Said) -> list[Said]:
    try:
        manifest = await _manifest(store, head.manifest)
        return [head._replace(layer=layer) for layer in layers(manifest)]
    except SealgateError as error:
        return [head._replace(problem=error)]


async def _manifest(store: Store, digest: Digest) -> Manifest:
    manifest = await store.get_manifest(digest)
    if manifest is None:
        raise NotFoundError(f"{store.name}@{digest} is listed by the index and does not exist")
    return manifest


async def fetch(store: Store, said: Said, *, limit: int = limits.EVIDENCE_BYTES) -> bytes:
    """The Statement's bytes. Raises the problem, `LimitError`, `ContentError` and what the store raises."""
    if said.problem is not None or said.layer is None:
        raise said.problem or ContentError(f"{said.manifest} has no Statement")
    content = await store.get_blob(said.layer.digest, limit=limit)
    if len(content) != said.layer.size:
        raise ContentError(f"{said.layer.digest} has {len(content)} bytes, its descriptor says {said.layer.size}")
    return content


def read(content: bytes, said: Said, *, limit: int = limits.EVIDENCE_BYTES) -> Statement:
    """A Statement that is about nothing but the image it is filed under, and of the type it is filed under.

    For whoever signs it: a further subject would be signed as well. Raises `StatementInvalidError`, `JsonAmbiguousError`,
    `LimitError`, and `UsageError` for an image signature.
    """
    what = f"the Statement {said.layer.digest if said.layer else said.manifest}"
    found = statements.given(content, what=what, limit=limit)
    if said.image is None:
        raise StatementInvalidError(f"{what} is filed under no image", hint=f"the index has no {REFERENCE_DIGEST}")
    wanted = ((said.image.algorithm, said.image.hex),)
    for subject in found.subjects:
        if subject.digests != wanted:
            named = ", ".join(f"{name}:{value}" for name, value in subject.digests)
            raise StatementInvalidError(
                f"{what} is about {named[:300]}, and filed under {said.image}",
                hint="whoever wrote the index can file a Statement of another image there; it is not signed",
            )
    if said.predicate_type is not None and said.predicate_type != found.predicate_type:
        raise StatementInvalidError(
            f"{what} is of type {found.predicate_type[:200]}, and filed under {said.predicate_type[:200]}"
        )
    return found


def _digest(text: str | None) -> Digest | None:
    try:
        return None if text is None else Digest.parse(text)
    except ContentError:
        return None
