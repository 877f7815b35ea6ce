"""The asynchronous client: what the command line can do, as coroutines for asyncio."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, TypeVar

from sealgate import limits
from sealgate.library import asked, operations
from sealgate.library.driving import ANONYMOUS, Adapter, Knowledge, Threads, choose
from sealgate.oci.host import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from sealgate.artifacts.copy import Copied
    from sealgate.digest import Digest
    from sealgate.library.asked import CopyArguments, SignArguments, VerifyArguments
    from sealgate.library.attestations import AttestArguments, VerifyAttestationArguments
    from sealgate.library.operations import Attachments, ImageName, Place
    from sealgate.signing.attest import Attestation
    from sealgate.signing.sign import Signature
    from sealgate.transport.asynchronous import AsyncHttpClient
    from sealgate.transport.flow import Flow
    from sealgate.transport.proxy import Proxies
    from sealgate.verification.verdict import Verdict

T = TypeVar("T")


class Client:
    """Talks to registries and keeps connections and tokens between calls; calls may run at the same time.

    `registry`: credentials, TLS, plain http. `proxies`: none unless given. `signature_repository`: `registry/repository`
    where every image's signatures are. `seconds`: the time-out of each call. `adapter`: `"aiohttp"` (one event loop) or
    `"threads"`; None takes aiohttp when it is installed. Nothing is read from the environment, unless by
    `from_environment`.

    Use it within one event loop, as an asynchronous context manager, or call `close`. Every method raises `UsageError` for what cannot be meant.
    """

    def __init__(
        self,
        *,
        registry: RegistrySettings = ANONYMOUS,
        proxies: Proxies | None = None,
        signature_repository: str | None = None,
        seconds: float = limits.TOTAL_SECONDS,
        adapter: Adapter | None = None,
    ) -> None:
        self._knowledge = Knowledge(registry, signature_repository)
        self._proxies = proxies
        self._seconds = seconds
        self._threads = Threads(proxies) if choose(adapter) == "threads" else None
        self._http: AsyncHttpClient | None = None

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        seconds: float = limits.TOTAL_SECONDS,
        adapter: Adapter | None = None,
    ) -> Self:
        """A client with the settings that the command line reads from `environ`.

        They are docker's and podman's credentials, HTTPS_PROXY and its like, COSIGN_REPOSITORY, SEALGATE_REGISTRY_REALMS.
        """
        from sealgate.library import environment

        found = environment.read(environ)
        return cls(
            registry=found.registry,
            proxies=found.proxies,
            signature_repository=found.signature_repository,
            seconds=seconds,
            adapter=adapter,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client may be used again."""
        if self._threads is not None:
            self._threads.close()
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def verify(self, image: ImageName, **arguments: Unpack[VerifyArguments]) -> Verdict:
        """Verify one image; see `VerifyArguments`. The verdict has everything that was found, and whether it is enough.

        What goes wrong with the image, the registry or its evidence is in the verdict too (`unknown`: could not ask).
        With `recursive`, it is the first verdict that is not accepted, else the index's own.
        """
        wanted = asked.wanted(**arguments)
        return await self._run(lambda place: operations.verify(place, image, wanted))

    async def verify_all(
        self, images: Sequence[ImageName], **arguments: Unpack[VerifyArguments]
    ) -> list[list[Verdict]]:
        """Verify images at once. A list for each image, in order; with `recursive`, children follow their index."""
        wanted = asked.wanted(**arguments)
        return await self._run(lambda place: operations.verify_all(place, images, wanted))

    async def sign(self, image: ImageName, **arguments: Unpack[SignArguments]) -> list[Signature]:
        """Sign one image; see `SignArguments`. Returns what was made, and what stood already (`added` is False).

        Each signature is verified before it is published. Raises `ImageNotFoundError`, `SigningError`,
        `UnavailableError`; signatures that were published before an error stay.
        """
        signers, options = asked.signing(**arguments)
        return await self._run(lambda place: operations.sign(place, image, signers, options))

    async def attest(self, image: ImageName, **arguments: Unpack[AttestArguments]) -> list[Attestation]:
        """Attest one image; see `AttestArguments`. Returns what was made, and what stood already (`added` is False).

        Each attestation is verified before it is published. Raises `ImageNotFoundError`, `ContentError`s for a predicate
        that cannot be signed, `SigningError`, `UnavailableError`; what was published before an error stays.
        """
        from sealgate.library import attestations

        attesting = attestations.attesting(**arguments)
        return await self._run(lambda place: attestations.attest(place, image, attesting))

    async def verify_attestation(self, image: ImageName, **arguments: Unpack[VerifyAttestationArguments]) -> Verdict:
        """Verify what was signed about one image; see `VerifyAttestationArguments`. A verdict as that of `verify`.

        What the good attestations say: `report.statement()` of those of `verdict.signatures` that are `accepted`.
        """
        from sealgate.library import attestations

        wanted = attestations.wanted(**arguments)
        return await self._run(lambda place: operations.verify(place, image, wanted))

    async def attachments(self, image: ImageName, *, content: bool = False, tag_prefix: str = "") -> Attachments:
        """List what is attached to an image: signatures, attestations, SBOMs. Nothing of it is verified.

        With `content`, each layer is fetched (at most 16 MiB each) and hashed. Raises `ImageNotFoundError`, and
        `UnavailableError` when not everything could be asked.
        """
        return await self._run(
            lambda place: operations.attachments(place, image, content=content, tag_prefix=tag_prefix)
        )

    async def copy(self, source: ImageName, target: ImageName, **arguments: Unpack[CopyArguments]) -> Copied:
        """Copy an image and everything attached to it, between registries, layouts and archives; see `CopyArguments`.

        The target's tag is set last. Raises `ImageNotFoundError`, `TagExistsError`, `UnavailableError`; what was moved before
        an error stays, untagged, and the same call again goes on from there. What is listed and not there is in `left_out`.
        """
        options = asked.copying(**arguments)
        return await self._run(lambda place: operations.copy(place, source, target, options))

    async def resolve(self, image: ImageName) -> Digest:
        """The digest of an image now. Raises `ImageNotFoundError`, `UnavailableError`."""
        return await self._run(lambda place: operations.resolve(place, image))

    async def _run(self, start: Callable[[Place], Flow[T]]) -> T:
        place = self._knowledge.begin()
        try:
            if self._threads is not None:
                return await self._threads.run_beside(start(place), seconds=self._seconds)
            from sealgate.transport import asynchronous

            if self._http is None:
                self._http = asynchronous.AsyncHttpClient(proxies=self._proxies)
            return await asynchronous.run(start(place), client=self._http, seconds=self._seconds)
        finally:
            self._knowledge.end(place)


# -- one call, one client


async def verify(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyArguments],
) -> Verdict:
    """Verify one image: `Client.verify` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.verify(image, **arguments)


async def verify_all(
    images: Sequence[ImageName],
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyArguments],
) -> list[list[Verdict]]:
    """Verify images at once: `Client.verify_all` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.verify_all(images, **arguments)


async def sign(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[SignArguments],
) -> list[Signature]:
    """Sign one image: `Client.sign` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.sign(image, **arguments)


async def attest(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[AttestArguments],
) -> list[Attestation]:
    """Attest one image: `Client.attest` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.attest(image, **arguments)


async def verify_attestation(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyAttestationArguments],
) -> Verdict:
    """Verify what was signed about one image: `Client.verify_attestation` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.verify_attestation(image, **arguments)


async def attachments(
    image: ImageName,
    *,
    content: bool = False,
    tag_prefix: str = "",
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
) -> Attachments:
    """List what is attached to an image: `Client.attachments` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.attachments(image, content=content, tag_prefix=tag_prefix)


async def copy(
    source: ImageName,
    target: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[CopyArguments],
) -> Copied:
    """Copy an image with everything attached: `Client.copy` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.copy(source, target, **arguments)


async def resolve(
    image: ImageName, *, registry: RegistrySettings = ANONYMOUS, seconds: float = limits.TOTAL_SECONDS
) -> Digest:
    """The digest of an image now: `Client.resolve` with a client for this call."""
    async with Client(registry=registry, seconds=seconds) as client:
        return await client.resolve(image)
