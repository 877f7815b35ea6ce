"""What hangs on an image: cosign's tags (`sha256-<hex>.sig`, `.att`, `.sbom`), the referrers API and its fallback tag.

Finding believes nothing: it brings bytes that hash to their digests, and says what it could not bring. Whether an index
entry names the right type, or a referrer the right subject, is for the reader of the evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ContentError, LimitError, ManifestInvalidError, NotFoundError, SealgateError
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor, parse_annotations
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sealgate.oci.store import Manifest, Store

SIGNATURES, ATTESTATIONS, SBOMS = "sig", "att", "sbom"

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"
"""Every version of a Sigstore bundle's media type begins so."""
SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
_ENVELOPES = (
    "application/vnd.dsse.envelope",
    "application/vnd.in-toto+json",
    "application/vnd.in-toto.",
)
"""What media types of DSSE envelopes with in-toto Statements begin with (in-toto attestation framework, bundle.md)."""
BUILDKIT_TYPE = "application/vnd.docker.attestation.manifest.v1+json"
"""BuildKit's bare Statements, which nobody signed, bear the same media type as envelopes do."""
OCI11_SIGNATURE_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
"""Config media type of cosign's experimental OCI 1.1 signatures."""


class Attachment(NamedTuple):
    """One layer of one manifest that hangs on an image, or the reason why it could not be brought."""

    origin: str
    """`referrer`, or the suffix of the tag: `sig`, `att`, `sbom`."""
    manifest: Digest
    artifact_type: str | None
    subject: Digest | None
    """What the manifest itself says it refers to."""
    position: int
    """The layer's number in its manifest, from 1."""
    layer: Descriptor | None
    content: bytes
    problem: SealgateError | None = None
    manifest_annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_bundle(self) -> bool:
        """Whether the layer says that it is a Sigstore bundle."""
        return self.layer is not None and self.layer.media_type.startswith(BUNDLE_TYPE)

    @property
    def may_be_evidence(self) -> bool:
        """False for a referrer that says it is something else: an SBOM, another tool's artifact. Its bytes are not fetched."""
        if self.origin != "referrer" or self.is_bundle or self.artifact_type == OCI11_SIGNATURE_TYPE:
            return True
        return self.layer is not None and self.layer.media_type == SIMPLE_SIGNING_TYPE

    @property
    def may_be_envelope(self) -> bool:
        """Whether a referrer says that it is an envelope as such, in no bundle: how other tools attach attestations."""
        if self.origin != "referrer" or self.is_bundle or self.layer is None or self.artifact_type == BUILDKIT_TYPE:
            return False
        return is_envelope_type(self.layer.media_type) or is_envelope_type(self.artifact_type or "")


def is_envelope_type(media_type: str) -> bool:
    """Whether a media type or artifact type is that of DSSE envelopes; bare in-toto Statements may bear it too."""
    return media_type.startswith(_ENVELOPES)


class Found(NamedTuple):
    """Everything found on one image, in a stable order, and what could not be asked."""

    attachments: tuple[Attachment, ...]
    problems: tuple[SealgateError, ...]
    """Listings that failed: with an `UnavailableError` among them nobody knows what else there is."""
    referrers_api: bool


def tag(digest: Digest, suffix: str, *, prefix: str = "") -> str:
    """cosign's tag of an image's signatures (`sig`), attestations (`att`) or SBOMs (`sbom`)."""
    return f"{prefix}{digest.algorithm}-{digest.hex}.{suffix}"


def fallback_tag(digest: Digest) -> str:
    """The referrers tag of the OCI distribution specification, section "Referrers Tag Schema"."""
    return f"{digest.algorithm}-{digest.hex}"


async def find(
    store: Store,
    image: Digest,
    *,
    suffixes: Iterable[str] = (SIGNATURES,),
    prefix: str = "",
    blob_limit: int = limits.EVIDENCE_BYTES,
    referrers: bool = True,
    fetch_layers: bool = True,
    envelopes: bool = False,
    at_hand: Mapping[Digest, bytes] | None = None,
) -> Found:
    """Find what hangs on `image` in `store`: one wave of listings at once, then manifests and layers as they are known.

    Referrers are looked for by the API and by the fallback tag, both: signatures made before a registry got the API
    stay visible. At most `ATTACHMENTS` are brought.

    `envelopes`: referrers that are envelopes as such are fetched as well; they are attestations, never signatures.

    `at_hand`: contents by the digest that they hash to. A layer of such a digest has that content, whoever brings it, and is
    not fetched.
    """
    finder = _Finder(store, image, blob_limit, fetch_layers=fetch_layers, envelopes=envelopes, at_hand=at_hand or {})
    wanted = list(suffixes)
    listings = [finder.by_referrers()] if referrers else []
    outcomes = await flow.settle([*listings, *(finder.by_tag(suffix, prefix) for suffix in wanted)])
    found: list[Attachment] = []
    problems: list[SealgateError] = list(finder.problems)
    for outcome in outcomes:
        if isinstance(outcome, SealgateError):
            problems.append(outcome)
        else:
            found += outcome
    return Found(tuple(found), tuple(problems), finder.referrers_api)


async def list_referrers(store: Store, image: Digest) -> tuple[list[Descriptor], list[SealgateError], bool]:
    """The descriptors of what refers to `image`, without duplicates; what could not be asked; whether the API exists."""
    problems: list[SealgateError] = []
    api, tagged = await flow.settle([_by_api(store, image), _by_fallback(store, image)])
    listed: list[Descriptor] = []
    for outcome in (api, tagged):
        if isinstance(outcome, SealgateError):
            problems.append(outcome)
        else:
            listed += outcome or []
    unique: dict[Digest, Descriptor] = {}
    for descriptor in listed:
        unique.setdefault(descriptor.digest, descriptor)
    unique.pop(image, None)
    return list(unique.values()), problems, not isinstance(api, SealgateError) and api is not None


async def _by_api(store: Store, image: Digest) -> list[Descriptor] | None:
    return await store.list_referrers(image)


async def _by_fallback(store: Store, image: Digest) -> list[Descriptor]:
    index = await store.get_manifest(fallback_tag(image))
    if index is None or not index.is_index or index.digest == image:
        return []  # `cosign copy` leaves the image itself under this tag
    return list(manifests.children(index, skip_malformed=True))


class _Finder:
    def __init__(
        self, store: Store, image: Digest, blob_limit: int, *, fetch_layers: bool, envelopes: bool,
        at_hand: Mapping[Digest, bytes],
    ) -> None:  # fmt: skip
        self._store = store
        self._image = image
        self._blob_limit = blob_limit
        self._fetch_layers = fetch_layers
        self._envelopes = envelopes
        self._at_hand = at_hand
        self._blobs: dict[tuple[Digest, int], flow.Once[bytes]] = {}
        self._count = 0
        self._room = max(limits.EVIDENCE_TOTAL_BYTES, blob_limit)
        self.problems: list[SealgateError] = []
        self.referrers_api = False

    async def by_referrers(self) -> list[Attachment]:
        listed, problems, self.referrers_api = await list_referrers(self._store, self._image)
        self.problems += problems
        if len(listed) > limits.ATTACHMENTS:
            self.problems.append(LimitError(f"{len(listed)} referrers; at most {limits.ATTACHMENTS} are looked at"))
            listed = listed[: limits.ATTACHMENTS]
        brought = await flow.gather([self._referrer(descriptor) for descriptor in listed], limit=64)
        return [attachment for attachments in brought for attachment in attachments]

    async def _referrer(self, descriptor: Descriptor) -> list[Attachment]:
        try:
            found = self._layers("referrer", await self._manifest(descriptor.digest))
            return await flow.gather([self._layer(attachment) for attachment in found], limit=64)
        except SealgateError as error:
            return [Attachment("referrer", descriptor.digest, descriptor.artifact_type, None, 1, None, b"", error)]

    async def _manifest(self, digest: Digest) -> Manifest:
        manifest = await self._store.get_manifest(digest)
        if manifest is None:
            raise NotFoundError(f"{self._store.name} lists {digest}, which is not there")
        return manifest

    async def by_tag(self, suffix: str, prefix: str) -> list[Attachment]:
        manifest = await self._store.get_manifest(tag(self._image, suffix, prefix=prefix))
        found = [] if manifest is None else self._layers(suffix, manifest)
        return await flow.gather([self._layer(attachment) for attachment in found], limit=64)

    def _layers(self, origin: str, manifest: Manifest) -> list[Attachment]:
        """What a manifest holds, not fetched yet. The manifest itself is not kept."""
        if manifest.is_index:
            raise ManifestInvalidError(f"{manifest.digest} hangs on the image, but is an index")
        subject = manifests.subject(manifest)
        head = Attachment(
            origin, manifest.digest, manifests.artifact_type(manifest), subject.digest if subject else None, 1, None, b"",
            None, parse_annotations(manifest.document.get("annotations"), str(manifest.digest)),
        )  # fmt: skip
        layers = manifests.layers(manifest)
        room = max(limits.ATTACHMENTS - self._count, 0)
        self._count += len(layers)
        if len(layers) > room:
            self.problems.append(
                LimitError(f"{manifest.digest} has more layers than the {limits.ATTACHMENTS} that are looked at")
            )
        if not layers:
            return [head._replace(problem=ManifestInvalidError(f"{manifest.digest} has no layers"))]
        return [head._replace(position=position, layer=layer) for position, layer in enumerate(layers[:room], 1)]

    def _spend(self, size: int) -> None:
        """Take note of a large blob. Small ones are free: junk must not be able to displace a signature."""
        if size > limits.EVIDENCE_FREE_BYTES:
            if size > self._room:
                raise LimitError(
                    f"more than {limits.EVIDENCE_TOTAL_BYTES} bytes are attached; the rest is not looked at"
                )
            self._room -= size

    async def _layer(self, found: Attachment) -> Attachment:
        layer = found.layer
        if layer is None or found.problem is not None or not self._fetch_layers:
            return found
        if not found.may_be_evidence and not (self._envelopes and found.may_be_envelope):
            return found
        try:
            if layer.size > self._blob_limit:
                raise LimitError(f"{layer.digest} says it has {layer.size} bytes; at most {self._blob_limit} are read")
            content = self._at_hand.get(layer.digest)
            if content is None:
                content = await self._fetched(layer)
            if len(content) != layer.size:
                raise ContentError(f"{layer.digest} has {len(content)} bytes, its descriptor says {layer.size}")
        except SealgateError as error:
            return found._replace(problem=error)
        return found._replace(content=content)

    async def _fetched(self, layer: Descriptor) -> bytes:
        """A layer's content, once however many attachments have it."""
        key = (layer.digest, layer.size)
        once = self._blobs.get(key)
        if once is None:
            self._spend(layer.size)
            once = self._blobs[key] = flow.Once()
        return await once.get(lambda: self._store.get_blob(layer.digest, limit=layer.size))
