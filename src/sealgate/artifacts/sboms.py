"""The SBOMs that hang on an image, wherever tools put them: finding them. Nothing of them is believed, and nothing verified.

cosign's `.sbom` tag, referrers that are an SBOM (`oras attach`), attestations in both formats, and what BuildKit puts into
an index. Several images are read within bounded memory: listings first, then documents, a few at once and read one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sealgate import limits
from sealgate.artifacts import attached as attacheds
from sealgate.artifacts import buildkit
from sealgate.digest import Digest
from sealgate.errors import ContentError, LimitError, SealgateError
from sealgate.evidence import bundle as bundles
from sealgate.evidence import dsse, predicates
from sealgate.evidence import statement as statements
from sealgate.oci import attachments
from sealgate.oci import manifest as manifests
from sealgate.oci.store import Manifest
from sealgate.transport import flow
from sealgate.verification.verify import platform_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.artifacts.attached import Attached
    from sealgate.evidence.statement import Statement
    from sealgate.oci.descriptor import Descriptor
    from sealgate.oci.images import Image
    from sealgate.oci.store import Store
    from sealgate.sbom.document import Sbom

Origin = Literal["sbom-tag", "referrer", "attestation", "buildkit", "file"]


class AttachedDocument(NamedTuple):
    """One SBOM that hangs on an image, or the reason why it could not be brought."""

    where: str
    """`repository:tag` or `repository@digest`: for people."""
    origin: Origin
    media_type: str
    """What the layer says it is; of an attestation its predicate type."""
    content: bytes
    """The document, or the in-toto Statement that it is the predicate of; empty with a `problem`."""
    signed: bool
    """Whether it came in an envelope with a signature, which was not verified here."""
    manifest: Digest
    """The attached manifest."""
    platform: str | None
    """`os/architecture` of the image in an index that it hangs on; None when it hangs on the image that was asked for."""
    problem: SealgateError | None
    image: Digest | None = None
    """The image that it hangs on."""
    layer: Digest | None = None
    """The layer that it was fetched as: evidence of that digest is this very document."""


class Found(NamedTuple):
    """The SBOMs of one image, in a stable order, and what could not be asked."""

    documents: tuple[AttachedDocument, ...]
    problems: tuple[SealgateError, ...] = ()
    """Listings that failed: with an `UnavailableError` among them nobody knows what else there is."""
    digest: Digest | None = None
    """The image that was asked for."""


class Reading(NamedTuple):
    """One attached SBOM, read; or the reason why it could not be brought or read."""

    document: AttachedDocument
    """Without its content."""
    sbom: Sbom | None
    problem: SealgateError | None
    about: bool | None
    """Whether it says that it is about this image, or one of its index; None when it does not say. A claim."""


def is_sbom_type(predicate_type: str) -> bool:
    """Whether a predicate type is SPDX's, CycloneDX's or Syft's, alone or with a version that there is behind it.

    Others are none: each type that is asked for is verified by itself.
    """
    name, slash, version = predicate_type.rpartition("/")
    return predicate_type in PREDICATE_TYPES or (bool(slash) and version in PREDICATE_TYPES.get(name, ()))


def read_document(document: AttachedDocument, *, statement: Statement | None = None) -> Sbom:
    """The SBOM itself, out of its Statement where it is in one (`statement`: that, parsed already).

    Raises the `problem` that it was found with, `SbomInvalidError`, `StatementInvalidError`, `LimitError`.
    """
    from sealgate.sbom import reading

    if document.problem is not None:
        raise document.problem
    what = f"the SBOM at {document.where}"
    size = max(limits.SBOM_BYTES, len(document.content))  # whoever fetched it had a limit
    if statement is None and document.origin in {"attestation", "buildkit"}:
        statement = statements.parse(document.content, limit=size)
    if statement is not None:
        return reading.read_value(statement.predicate, what=what)
    return reading.read(document.content, what=what, limit=size)


async def find_documents(image: Image, *, limit: int, platform: str | None = None, prefix: str = "") -> Found:
    """Every SBOM of `image`, each of at most `limit` bytes. Of an index those of its images too.

    With `platform` it is that image of an index alone. Raises `ImageNotFoundError`, and what the store raises for the image.
    """
    target = await _target(image, platform, prefix)
    brought = await flow.gather([_bring(candidate, limit) for candidate in target.candidates], limit=_AT_ONCE)
    documents = [opened.document for opened in brought if opened is not None]
    return Found((*documents, *target.failed), target.problems, target.digest)


async def read_all(
    images: list[Image],
    *,
    limit: int,
    take: Callable[[int, Reading], None],
    platform: str | None = None,
    prefix: str = "",
) -> list[Found | SealgateError]:
    """Find and read the SBOMs of several images, one at a time in memory: each goes to `take` with the image's number.

    An outcome an image, in order: what could not be asked (no documents: those went to `take`), or the image's own error.
    """
    targets = await flow.settle([_target(image, platform, prefix) for image in images], limit=_IMAGES_AT_ONCE)
    found: list[Found | SealgateError] = []
    jobs = []
    largest = 1
    for index, target in enumerate(targets):
        if isinstance(target, SealgateError):
            found.append(target)
            continue
        found.append(Found((), target.problems, target.digest))
        for document in target.failed:
            take(index, Reading(document, None, document.problem, None))
        for candidate in target.candidates:
            largest = max(largest, min(candidate.layer.size, limit))
            jobs.append(_read(index, candidate, target.known, limit, take))
    await flow.gather(jobs, limit=min(max(limits.SBOM_WAITING_BYTES // largest, 1), _AT_ONCE))
    return found


async def _read(
    index: int, candidate: _Candidate, known: frozenset[Digest], limit: int, take: Callable[[int, Reading], None]
) -> None:
    opened = await _bring(candidate, limit)
    if opened is not None:
        take(index, reading_of(opened.document, known, statement=opened.statement))


def reading_of(document: AttachedDocument, known: frozenset[Digest], *, statement: Statement | None = None) -> Reading:
    """`read_document` as a value; `known`: the digests by which the image is known, none for a file."""
    bare = document._replace(content=b"")
    try:
        sbom = read_document(document, statement=statement)
    except SealgateError as error:
        return Reading(bare, None, error, None)
    if not known:
        return Reading(bare, sbom, None, None)
    about = sbom.is_about(known)
    if statement is not None:
        about = about is not False and any(statements.matches(statement, digest) for digest in known)
    return Reading(bare, sbom, None, about)


def unwrap(content: bytes, *, where: str, limit: int) -> tuple[AttachedDocument, Statement | None]:
    """A file: an SBOM, or a Statement, DSSE envelope or Sigstore bundle with one in it. Nothing is verified.

    Raises `LimitError` and what makes an envelope or Statement invalid.
    """
    from sealgate.sbom import reading

    if len(content) > limit:
        raise LimitError(f"{where} is larger than {limit} bytes")
    document = AttachedDocument(where, "file", "", content, False, Digest.of(content), None, None)
    head = reading.members(content)
    if not head & {"_type", "payloadType", "dsseEnvelope"}:
        return document, None
    payload, signed = content, False
    if "dsseEnvelope" in head or "payloadType" in head:
        envelope = _envelope(content, is_bundle="dsseEnvelope" in head)
        if envelope is None:
            return document, None
        payload, signed = envelope.payload, bool(envelope.signatures)
    parsed = statements.parse(payload, limit=len(payload))
    return document._replace(content=payload, signed=signed, media_type=parsed.predicate_type), parsed


# -- finding


_CYCLONEDX_VERSIONS = frozenset({"v1", *(f"v1.{minor}" for minor in range(8))})
PREDICATE_TYPES = {
    predicates.SPDX: frozenset({"v2", "v2.2", "v2.3", "v3", "v3.0", "v3.0.1"}),
    predicates.CYCLONEDX: _CYCLONEDX_VERSIONS,
    "https://cyclonedx.org/BOM": _CYCLONEDX_VERSIONS,
    "https://cyclonedx.org/schema": _CYCLONEDX_VERSIONS,
    "https://syft.dev/bom": frozenset[str](),
}
"""cosign's, and the variants that GitHub (`https://spdx.dev/Document/v2.3`) and older tools write."""
_MEDIA_TYPES = ("application/spdx", "text/spdx", "application/vnd.cyclonedx", "application/vnd.syft")
_AT_ONCE = 8
_IMAGES_AT_ONCE = 16


class _Candidate(NamedTuple):
    """A layer that may be an SBOM; not fetched."""

    store: Store
    document: AttachedDocument
    layer: Descriptor


class _Target(NamedTuple):
    digest: Digest
    known: frozenset[Digest]
    """Digests that documents about this image may name: manifests, and the configs of those that were fetched."""
    candidates: tuple[_Candidate, ...]
    failed: tuple[AttachedDocument, ...]
    """Attached things that could not be brought."""
    problems: tuple[SealgateError, ...]


class _Opened(NamedTuple):
    document: AttachedDocument
    statement: Statement | None


async def _target(image: Image, platform: str | None, prefix: str) -> _Target:
    """Where to look, and what is there: the image itself, and what an index lists."""
    manifest = await attacheds.resolve(image)
    known = {manifest.digest}
    places: list[tuple[Digest, str | None]] = [(manifest.digest, None)]
    if platform is not None:
        child = platform_child(manifest, platform, image.name)
        known.add(child)
        places = [(child, platform)]
    elif manifest.is_index:
        places += [(each.digest, each.platform) for each in buildkit.images(manifest)]
        known.update(digest for digest, _ in places)
    asked = [_at(image, digest, name, prefix) for digest, name in places]
    if manifest.is_index:
        asked.append(_in_index(image, manifest, None if platform is None else places[0][0]))
    outcomes = await flow.settle(asked, limit=_AT_ONCE)
    candidates: list[_Candidate] = []
    failed: list[AttachedDocument] = []
    problems: list[SealgateError] = []
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            problems.append(outcome)
            continue
        candidates += outcome.candidates
        failed += outcome.failed
        problems += outcome.problems
        known |= outcome.known
    # BuildKit's newer ones are in the index, and refer to the image too.
    unique = {(each.document.manifest, each.layer.digest): each for each in reversed(candidates)}
    kept, left_out = _affordable(list(reversed(unique.values())))
    return _Target(manifest.digest, frozenset(known), tuple(kept), (*failed, *left_out), tuple(problems))


async def _in_index(image: Image, index: Manifest, of: Digest | None) -> _Target:
    """What BuildKit put into the index itself, of one image or all."""
    candidates: list[_Candidate] = []
    failed: list[AttachedDocument] = []
    for said in await buildkit.find(image.store, index, of=of):
        document = AttachedDocument(
            f"{image.store.name}@{said.manifest}", "buildkit", dsse.IN_TOTO, b"", False, said.manifest, said.platform,
            said.problem, said.image,
        )  # fmt: skip
        if said.layer is None:
            failed.append(document)
        elif said.predicate_type is None or is_sbom_type(said.predicate_type):
            candidates.append(_Candidate(image.store, document._replace(layer=said.layer.digest), said.layer))
    return _Target(index.digest, frozenset(), tuple(candidates), tuple(failed), ())


async def _at(image: Image, digest: Digest, platform: str | None, prefix: str) -> _Target:
    stores = attacheds.stores_of(image)
    listing, manifest = await flow.gather(
        [attacheds.list_attached(stores, digest, prefix=prefix, suffixes=("att", "sbom")), _manifest(image, digest)]
    )
    known = {digest}
    if isinstance(manifest, Manifest) and (config := manifests.config(manifest)) is not None:
        known.add(config.digest)
    candidates: list[_Candidate] = []
    failed: list[AttachedDocument] = []
    problems: list[SealgateError] = []
    if isinstance(listing, attacheds.Listing):
        problems += listing.problems
        for item in listing.attached:
            try:
                candidates += _candidates(item, digest, platform)
            except SealgateError as error:
                failed.append(_failed(item, digest, platform, error))
    return _Target(digest, frozenset(known), tuple(candidates), tuple(failed), tuple(problems))


async def _manifest(image: Image, digest: Digest) -> Manifest | attacheds.Listing | None:
    """The manifest of an image for its config; an index may list images that are not there."""
    try:
        return await image.store.get_manifest(digest)
    except ContentError:
        return None


def _failed(item: Attached, image: Digest, platform: str | None, error: SealgateError) -> AttachedDocument:
    return AttachedDocument(
        item.location, _ORIGINS[item.origin], "", b"", item.origin == "att", item.digest, platform, error, image
    )


_ORIGINS: dict[str, Origin] = {"sbom": "sbom-tag", "att": "attestation", "referrer": "referrer"}


def _candidates(item: Attached, image: Digest, platform: str | None) -> list[_Candidate]:
    """The layers that may be SBOMs. What an attestation is about is not seen before it is fetched: annotations are hints."""
    if item.problem is not None or item.manifest is None:
        raise item.problem or ContentError(f"{item.location} could not be read")
    said = attacheds.artifact_type(item) or ""
    layers = manifests.layers(item.manifest)
    found = []
    for position, layer in enumerate(layers, 1):
        kind = layer.media_type
        origin = _ORIGINS[item.origin]
        if item.origin == "referrer":
            if said == buildkit.ARTIFACT_TYPE:
                if kind != dsse.IN_TOTO or not is_sbom_type(
                    layer.annotation(buildkit.PREDICATE_TYPE) or predicates.SPDX
                ):
                    continue
                origin = "buildkit"
            elif kind.startswith(attachments.BUNDLE_TYPE) or any(map(attachments.is_envelope_type, (kind, said))):
                origin = "attestation"
            elif not kind.startswith(_MEDIA_TYPES) and not said.startswith(_MEDIA_TYPES):
                continue
        where = item.location if len(layers) == 1 else f"{item.location} #{position}"
        document = AttachedDocument(
            where, origin, kind, b"", False, item.digest, platform, None, image, layer.digest
        )  # fmt: skip
        found.append(_Candidate(item.store, document, layer))
    return found


def _affordable(candidates: list[_Candidate]) -> tuple[list[_Candidate], list[AttachedDocument]]:
    """At most `ATTACHMENTS`, and no more bytes than one image may have attached; small ones are free."""
    room = limits.EVIDENCE_TOTAL_BYTES
    kept, left_out = [], []
    for number, candidate in enumerate(candidates):
        size = candidate.layer.size if candidate.layer.size > limits.EVIDENCE_FREE_BYTES else 0
        problem = None
        if number >= limits.ATTACHMENTS:
            problem = LimitError(f"more than {limits.ATTACHMENTS} attachments; the rest is not looked at")
        elif size > room:
            problem = LimitError(f"more than {limits.EVIDENCE_TOTAL_BYTES} bytes are attached; not all is looked at")
        if problem is None:
            room -= size
            kept.append(candidate)
        else:
            left_out.append(candidate.document._replace(problem=problem))
    return kept, left_out


async def _bring(candidate: _Candidate, limit: int) -> _Opened | None:
    """Fetch and unwrap; None for an attestation of something else. Problems are in the document."""
    document, layer = candidate.document, candidate.layer
    try:
        if layer.size > limit:
            raise LimitError(
                f"{document.where} says it has {layer.size} bytes; at most {limit} are read",
                hint="COSIGN_MAX_ATTACHMENT_SIZE raises the bound",
            )
        content = await candidate.store.get_blob(layer.digest, limit=layer.size)
        if len(content) != layer.size:
            raise ContentError(f"{layer.digest} has {len(content)} bytes, its descriptor says {layer.size}")
        return _open(document, content)
    except SealgateError as error:
        return _Opened(document._replace(problem=error), None)


def _open(document: AttachedDocument, content: bytes) -> _Opened | None:
    if document.origin not in {"attestation", "buildkit"}:
        return _Opened(document._replace(content=content), None)
    payload, signed = content, False
    is_bundle = document.media_type.startswith(attachments.BUNDLE_TYPE)
    if is_bundle or document.media_type == attachments.ENVELOPE_TYPE or _is_envelope(document, content):
        envelope = _envelope(content, is_bundle=is_bundle)
        if envelope is None:
            return None
        payload, signed = envelope.payload, bool(envelope.signatures)
    found = statements.parse(payload, limit=len(payload))
    if not is_sbom_type(found.predicate_type):
        return None
    return _Opened(document._replace(content=payload, signed=signed, media_type=found.predicate_type), found)


def _is_envelope(document: AttachedDocument, content: bytes) -> bool:
    """Of media types that bare Statements bear too: told by the content."""
    from sealgate.sbom import reading

    return document.origin == "attestation" and "payloadType" in reading.members(content)


def _envelope(content: bytes, *, is_bundle: bool) -> dsse.Envelope | None:
    """The envelope in which a Statement may be; None where there is none."""
    if is_bundle:
        found = bundles.parse(content, limit=len(content)).content
        if not isinstance(found, dsse.Envelope):
            return None
    else:
        found = dsse.parse(content, limit=len(content))
    return found if found.payload_type == dsse.IN_TOTO else None
