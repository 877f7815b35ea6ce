"""What hangs on an image as whole manifests, and of which kind each is.

`oci.attachments` brings the layers that a verifier reads; here every attached manifest counts, whoever made it: indexes,
manifests without layers, SBOMs and the evidence of other tools. Nothing of it is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate import limits
from sealgate.artifacts import buildkit
from sealgate.errors import ContentError, ImageNotFoundError, NotFoundError, SealgateError, UnavailableError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, legacy, predicates, statement
from sealgate.evidence.dsse import Envelope
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sealgate.digest import Digest
    from sealgate.oci.descriptor import Descriptor
    from sealgate.oci.images import Image
    from sealgate.oci.store import Manifest, Store

Kind = Literal["sig", "att", "sbom", "other"]

SUFFIXES = (attachments.SIGNATURES, attachments.ATTESTATIONS, attachments.SBOMS)
AT_ONCE = 32
_NOTATION = "application/vnd.cncf.notary.signature"
_SIGNATURE_TYPES = frozenset({attachments.OCI11_SIGNATURE_TYPE, attachments.SIMPLE_SIGNING_TYPE, _NOTATION})
_SBOM_TYPES = ("application/spdx", "text/spdx", "application/vnd.cyclonedx", "application/vnd.syft",
               "application/vnd.dev.cosign.artifact.sbom")  # fmt: skip


class Attached(NamedTuple):
    """One manifest that hangs on an image, or the reason why it could not be brought."""

    origin: str
    """`referrer`, `index` (BuildKit's, in the index), or the suffix of cosign's tag: `sig`, `att`, `sbom`."""
    digest: Digest
    tag: str | None
    """cosign's tag; None for a referrer, and in the index."""
    store: Store
    listed: Descriptor | None
    """What the list of referrers says of it."""
    manifest: Manifest | None
    problem: SealgateError | None = None

    @property
    def location(self) -> str:
        """`repository:tag` or `repository@digest`: for people."""
        return f"{self.store.name}:{self.tag}" if self.tag else f"{self.store.name}@{self.digest}"


class Listing(NamedTuple):
    """What hangs on one image, in a stable order, and what could not be asked."""

    attached: tuple[Attached, ...]
    problems: tuple[SealgateError, ...]

    def require(self) -> tuple[Attached, ...]:
        """What could be read of it. Raises the first problem that hides something: could not ask, or a tag that is junk."""
        for problem in (*self.problems, *(item.problem for item in self.attached)):
            if isinstance(problem, UnavailableError):
                raise problem
        for problem in self.problems:
            raise problem
        return self.attached


async def resolve(image: Image) -> Manifest:
    """The manifest that an image argument names. Raises `ImageNotFoundError`."""
    found = await image.store.get_manifest(image.which)
    if found is None:
        raise ImageNotFoundError(f"{image.name} does not exist", hint="check the name and the tag")
    return found


async def digest_of(image: Image) -> Digest:
    """The digest that an image argument means; a digest is taken as it is, nobody is asked."""
    return (await resolve(image)).digest if isinstance(image.which, str) else image.which


def stores_of(image: Image) -> tuple[Store, ...]:
    """Where things hang on it: beside the image, and where COSIGN_REPOSITORY says."""
    if image.signatures is image.store or image.signatures.name == image.store.name:
        return (image.store,)
    return (image.signatures, image.store)


async def list_attached(
    stores: Iterable[Store], image: Digest, *, prefix: str = "", suffixes: tuple[str, ...] = SUFFIXES
) -> Listing:
    """Everything that hangs on `image`: cosign's tags, the referrers API and the fallback tag of each store, all at once."""
    asked = [
        ask for store in stores for ask in (*(_by_tag(store, image, s, prefix) for s in suffixes), _by_referrers(store, image))
    ]  # fmt: skip
    outcomes = await flow.settle(asked)
    found: dict[tuple[str, str | None, Digest], Attached] = {}
    problems: list[SealgateError] = []
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            problems.append(outcome)
            continue
        problems += outcome.problems
        for item in outcome.attached:
            found.setdefault((item.origin, item.tag, item.digest), item)
    return Listing(tuple(found.values()), tuple(problems))


async def _by_tag(store: Store, image: Digest, suffix: str, prefix: str) -> Listing:
    tag = attachments.tag(image, suffix, prefix=prefix)
    manifest = await store.get_manifest(tag)
    if manifest is None:
        return Listing((), ())
    return Listing((Attached(suffix, manifest.digest, tag, store, None, manifest),), ())


async def _by_referrers(store: Store, image: Digest) -> Listing:
    listed, problems, _ = await attachments.list_referrers(store, image)
    found = await flow.gather([_referrer(store, descriptor) for descriptor in listed], limit=AT_ONCE)
    return Listing(tuple(found), tuple(problems))


async def _referrer(store: Store, descriptor: Descriptor) -> Attached:
    item = Attached("referrer", descriptor.digest, None, store, descriptor, None)
    try:
        manifest = await store.get_manifest(descriptor.digest)
        if manifest is None:
            raise NotFoundError(f"{store.name} lists {descriptor.digest}, which is not there")
    except SealgateError as error:
        return item._replace(problem=error)
    return item._replace(manifest=manifest)


def artifact_type(item: Attached) -> str | None:
    """What the manifest says it is, or else what the list says."""
    if item.manifest is not None and (found := manifests.artifact_type(item.manifest)) is not None:
        return found
    return item.listed.artifact_type if item.listed is not None else None


async def kind_of(item: Attached) -> Kind:
    """Signature, attestation, SBOM, or something else. A bundle is opened: its annotations prove nothing.

    Raises `UnavailableError` when a bundle cannot be fetched; a bundle that cannot be read is `other`.
    """
    if item.origin not in {"sig", "att", "sbom"} and _is_bundle(item):
        return _kind(item, await inside(item))
    return _kind(item, Inside(None, None))


def _kind(item: Attached, found: Inside) -> Kind:
    if item.origin in {"sig", "att", "sbom"}:
        return item.origin  # type: ignore[return-value]  # mypy does not narrow by a set
    if _is_bundle(item):
        predicate = found.predicate_type
        return "other" if predicate is None else "sig" if predicate == predicates.IMAGE_SIGNATURE else "att"
    types = _types(item)
    if types & _SIGNATURE_TYPES:
        return "sig"
    if any(attachments.is_envelope_type(name) for name in types):
        return "att"
    return "sbom" if any(name.startswith(_SBOM_TYPES) for name in types) else "other"


def _types(item: Attached) -> set[str]:
    return {artifact_type(item) or "", *(layer.media_type for layer in _layers(item))}


def _is_bundle(item: Attached) -> bool:
    return any(name.startswith(bundles.MEDIA_TYPE_PREFIX) for name in _types(item))


class Inside(NamedTuple):
    """What is inside an attached manifest, as far as it was opened."""

    predicate_type: str | None
    """Of the Statement in a bundle or an envelope, or of a bare one; None when there is none or it cannot be read."""
    signed: bool | None
    """Whether it carries a signature, which nobody verified; None when that cannot be said."""


async def inside(item: Attached) -> Inside:
    """Open a bundle, an envelope or a bare Statement. Raises `UnavailableError` when it cannot be fetched."""
    said = artifact_type(item) or ""
    for layer in _layers(item):
        if layer.media_type.startswith(bundles.MEDIA_TYPE_PREFIX):
            read = _in_bundle
        elif item.origin in {"referrer", "index"} and any(
            attachments.is_envelope_type(name) for name in (layer.media_type, said)
        ):
            if said == buildkit.ARTIFACT_TYPE or item.origin == "index":
                return Inside(layer.annotation(buildkit.PREDICATE_TYPE), signed=False)
            read = _in_envelope
        else:
            continue
        try:
            return read(await item.store.get_blob(layer.digest, limit=limits.EVIDENCE_BYTES))
        except (ContentError, NotFoundError):
            return Inside(None, None)
    kind = _kind(item, Inside(None, None))
    return Inside(None, signed=None if kind == "other" else kind != "sbom")


def kind_inside(item: Attached, found: Inside) -> Kind:
    """As `kind_of`, of what has been opened."""
    return _kind(item, found)


def _in_bundle(content: bytes) -> Inside:
    envelope = bundles.parse(content).content
    if not isinstance(envelope, Envelope):
        return Inside(None, signed=True)
    return Inside(statement.parse(envelope.payload).predicate_type, signed=bool(envelope.signatures))


def _in_envelope(content: bytes) -> Inside:
    if b'"payload"' not in content:
        return Inside(statement.parse(content).predicate_type, signed=False)
    envelope = dsse.parse(content)
    return Inside(statement.parse(envelope.payload).predicate_type, signed=bool(envelope.signatures))


def _layers(item: Attached) -> tuple[Descriptor, ...]:
    return manifests.layers(item.manifest) if item.manifest is not None else ()


def is_of_cosign(item: Attached) -> bool:
    """Whether a manifest under one of cosign's tags looks like what cosign puts there, not like an image."""
    layers = _layers(item)
    if item.manifest is None or item.manifest.is_index or not layers:
        return False
    if item.origin == "sbom":
        return all(layer.media_type.startswith(_SBOM_TYPES) for layer in layers)
    return all(layer.annotation(legacy.SIGNATURE) is not None for layer in layers)
