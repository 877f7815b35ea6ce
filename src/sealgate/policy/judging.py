"""The `Judge` over `verification`: what hangs on an image is fetched once, however many attestors look at it.

One of these lives for one run (a gate, one admission request): tags are resolved once in it. What outlives a run, a cache
of verdicts, is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import ImageNotFoundError, SealgateError
from sealgate.oci import attachments
from sealgate.oci.reference import parse_repository
from sealgate.policy import description
from sealgate.policy.description import Content
from sealgate.transport import flow
from sealgate.verification import verdict as verdicts
from sealgate.verification.verify import judge_found

if TYPE_CHECKING:
    from sealgate.oci.reference import Reference
    from sealgate.oci.store import Store
    from sealgate.policy.model import Attestor
    from sealgate.policy.pullsecrets import PullSecrets
    from sealgate.verification.verdict import Verdict
    from sealgate.verification.verify import Wanted


class Stores(Protocol):
    """Where images and their signatures are."""

    def repository(self, reference: Reference) -> Store:
        """The store of a reference's repository. Raises `SealgateError` for one that may not be asked."""


class _Place(NamedTuple):
    """One look at evidence."""

    digest: Digest
    repository: str
    prefix: str


class StoreJudge:
    """See the module."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._digests: dict[Reference, flow.Once[Digest]] = {}
        self._contents: dict[tuple[str, Digest], flow.Once[Content]] = {}
        self._found: dict[tuple[_Place, frozenset[str]], flow.Once[attachments.Found]] = {}
        self._under: dict[str, StoreJudge] = {}
        """By the scope of the credentials."""

    def under(self, keyring: PullSecrets, /) -> StoreJudge:
        """The judge that asks with these credentials first. Layouts know no credentials."""
        found = self._under.get(keyring.scope)
        if found is None:
            change = getattr(self._stores, "under", None)
            found = StoreJudge(self._stores if change is None else change(keyring.over))
            self._under[keyring.scope] = found
        return found

    async def resolve(self, reference: Reference) -> Digest:
        """The digest of an image that exists; one request a reference. Raises `ImageNotFoundError`, `UnavailableError`, …"""
        once = self._digests.setdefault(reference, flow.Once())
        return await once.get(lambda: self._resolve(reference))

    async def _resolve(self, reference: Reference) -> Digest:
        manifest = await self._stores.repository(reference).get_manifest(reference.which)
        if manifest is None:
            raise ImageNotFoundError(f"{reference} does not exist", hint="check the name, the tag and the registry")
        return manifest.digest

    async def describe(self, reference: Reference, digest: Digest) -> dict[str, Any]:
        """An image's name, manifest and configuration, for policies that look at them. Raises `SealgateError`."""
        return description.document(reference, digest, await self.content(reference, digest))

    async def content(self, reference: Reference, digest: Digest) -> Content:
        """An image's manifest and configuration, as bytes. Raises `SealgateError`."""
        once = self._contents.setdefault((reference.name, digest), flow.Once())
        return await once.get(lambda: self._content(reference, digest))

    async def _content(self, reference: Reference, digest: Digest) -> Content:
        store = self._stores.repository(reference)
        manifest = await store.get_manifest(digest)
        if manifest is None:
            raise ImageNotFoundError(f"{reference} does not exist", hint="check the name, the tag and the registry")
        raw = None
        config = None if manifest.is_index else manifest.document.get("config")
        if isinstance(config, dict) and isinstance(config.get("digest"), str):
            raw = await store.get_blob(Digest.parse(config["digest"]), limit=limits.CONFIG_FILE_BYTES)
        return Content(manifest.media_type, manifest.raw, raw)

    async def verdicts(
        self, reference: Reference, digest: Digest, attestors: Sequence[Attestor], *, now: float
    ) -> list[Verdict]:
        """The verdict of each attestor, in their order. Never raises a `SealgateError`: it is in the verdict."""
        if not attestors:
            return []
        existing = await flow.spawn(self._exists(reference, digest))
        kinds: dict[_Place, set[str]] = {}
        for each in attestors:
            kinds.setdefault(self._place(reference, digest, each), set()).add(_suffix(each.wanted))
        found = await flow.gather([self._judge(reference, digest, each, kinds, now) for each in attestors])
        missed = await existing.wait()
        if missed is None:
            return found
        # That there is no such image comes first.
        return [verdicts.from_error(str(reference), reference.name, missed, verdict.requirement) for verdict in found]

    async def _exists(self, reference: Reference, digest: Digest) -> SealgateError | None:
        if reference.digest is None:
            return None  # it was resolved
        try:
            await self.resolve(reference)
        except SealgateError as error:
            return error
        return None

    def _place(self, reference: Reference, digest: Digest, attestor: Attestor) -> _Place:
        return _Place(digest, attestor.repository or reference.name, attestor.wanted.tag_prefix)

    async def _judge(
        self, reference: Reference, digest: Digest, attestor: Attestor, kinds: dict[_Place, set[str]], now: float
    ) -> Verdict:
        wanted = at(attestor.wanted, now)
        if wanted.naming is not None:
            wanted = wanted._replace(naming=wanted.naming.of(reference))
        place = self._place(reference, digest, attestor)
        try:
            found = await self._find(place, frozenset(kinds[place]), wanted)
        except SealgateError as error:
            return verdicts.from_error(str(reference), reference.name, error, wanted.describe())
        name = str(reference.with_digest(digest))
        if wanted.attested is not None and wanted.attested.conditions:  # policies of users: beside the flows
            try:
                return await flow.call(lambda: judge_found(name, reference.name, digest, found, wanted))
            except SealgateError as error:  # the time is over
                return verdicts.from_error(name, reference.name, error, wanted.describe())
        return judge_found(name, reference.name, digest, found, wanted)

    async def _find(self, place: _Place, kinds: frozenset[str], wanted: Wanted) -> attachments.Found:
        once = self._found.setdefault((place, kinds), flow.Once())
        store = self._stores.repository(parse_repository(place.repository))
        return await once.get(
            lambda: attachments.find(
                store,
                place.digest,
                suffixes=sorted(kinds),
                prefix=place.prefix,
                blob_limit=wanted.blob_limit,
                envelopes=attachments.ATTESTATIONS in kinds,
            )
        )


def _suffix(wanted: Wanted) -> str:
    return attachments.SIGNATURES if wanted.attested is None else attachments.ATTESTATIONS


def at(wanted: Wanted, now: float) -> Wanted:
    """The same question, asked at another time."""
    attested = wanted.attested
    if attested is not None and any(hasattr(condition, "at") for condition in attested.conditions):
        conditions = tuple(each.at(now) if hasattr(each, "at") else each for each in attested.conditions)
        wanted = wanted._replace(attested=attested._replace(conditions=conditions))
    trust = wanted.trust
    if trust is None:
        return wanted
    return wanted._replace(trust=trust._replace(demand=trust.demand._replace(now=now)))
