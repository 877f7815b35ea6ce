"""The library for scripts: every function of `sealgate`, blocking. No event loop, no extra dependency.

from sealgate import blocking
key = blocking.load_public_key("cosign.pub")
verdict = blocking.verify("registry.example.com/app:1.0", keys=[key], require="any")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, TypeVar

from sealgate import limits
from sealgate.library import asked, operations
from sealgate.library.driving import ANONYMOUS, Knowledge, Threads, run_alone
from sealgate.oci.host import RegistrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Unpack

    from sealgate.artifacts.copy import Copied
    from sealgate.digest import Digest
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import Signer
    from sealgate.library.asked import CopyArguments, Keys, Require, SignArguments, VerifyArguments
    from sealgate.library.attestations import AttestArguments, Predicate, VerifyAttestationArguments
    from sealgate.library.blobs import BlobSource
    from sealgate.library.operations import Attachments, ImageName, Place
    from sealgate.library.trust import TrustArguments
    from sealgate.signing.attest import Attestation
    from sealgate.signing.attest_blob import BlobAttestation
    from sealgate.signing.author import Author
    from sealgate.signing.blob import BlobSignature
    from sealgate.signing.sign import Format, Signature
    from sealgate.transport.flow import Flow
    from sealgate.transport.proxy import Proxies
    from sealgate.trust.root import TrustRoot
    from sealgate.verification.attestation import Condition
    from sealgate.verification.deny import DenyList
    from sealgate.verification.verdict import Verdict

T = TypeVar("T")

__all__ = [
    "Client",
    "attachments",
    "attest",
    "attest_blob",
    "copy",
    "load_public_key",
    "load_signer",
    "load_trust_root",
    "resolve",
    "sign",
    "sign_blob",
    "verify",
    "verify_all",
    "verify_attestation",
    "verify_blob",
    "verify_blob_attestation",
]


class Client:
    """`sealgate.Client` with methods that block. It may be used from several threads at once.

    `registry`, `proxies`, `signature_repository` and `seconds` as there. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        registry: RegistrySettings = ANONYMOUS,
        proxies: Proxies | None = None,
        signature_repository: str | None = None,
        seconds: float = limits.TOTAL_SECONDS,
    ) -> None:
        self._knowledge = Knowledge(registry, signature_repository)
        self._threads = Threads(proxies)
        self._seconds = seconds

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] = os.environ, *, seconds: float = limits.TOTAL_SECONDS
    ) -> Self:
        """A client with the settings that the command line reads from `environ`; see `sealgate.Client`."""
        from sealgate.library import environment

        found = environment.read(environ)
        return cls(
            registry=found.registry,
            proxies=found.proxies,
            signature_repository=found.signature_repository,
            seconds=seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The client may be used again."""
        self._threads.close()

    def verify(self, image: ImageName, **arguments: Unpack[VerifyArguments]) -> Verdict:
        """Verify one image; see `sealgate.Client.verify`."""
        wanted = asked.wanted(**arguments)
        return self._run(lambda place: operations.verify(place, image, wanted))

    def verify_all(self, images: Sequence[ImageName], **arguments: Unpack[VerifyArguments]) -> list[list[Verdict]]:
        """Verify images at once; see `sealgate.Client.verify_all`."""
        wanted = asked.wanted(**arguments)
        return self._run(lambda place: operations.verify_all(place, images, wanted))

    def sign(self, image: ImageName, **arguments: Unpack[SignArguments]) -> list[Signature]:
        """Sign one image; see `sealgate.Client.sign`."""
        signers, options = asked.signing(**arguments)
        return self._run(lambda place: operations.sign(place, image, signers, options))

    def attest(self, image: ImageName, **arguments: Unpack[AttestArguments]) -> list[Attestation]:
        """Attest one image; see `sealgate.Client.attest`."""
        from sealgate.library import attestations

        attesting = attestations.attesting(**arguments)
        return self._run(lambda place: attestations.attest(place, image, attesting))

    def verify_attestation(self, image: ImageName, **arguments: Unpack[VerifyAttestationArguments]) -> Verdict:
        """Verify what was signed about one image; see `sealgate.Client.verify_attestation`."""
        from sealgate.library import attestations

        wanted = attestations.wanted(**arguments)
        return self._run(lambda place: operations.verify(place, image, wanted))

    def attachments(self, image: ImageName, *, content: bool = False, tag_prefix: str = "") -> Attachments:
        """List what is attached to an image; see `sealgate.Client.attachments`."""
        return self._run(lambda place: operations.attachments(place, image, content=content, tag_prefix=tag_prefix))

    def copy(self, source: ImageName, target: ImageName, **arguments: Unpack[CopyArguments]) -> Copied:
        """Copy an image with everything attached; see `sealgate.Client.copy`."""
        options = asked.copying(**arguments)
        return self._run(lambda place: operations.copy(place, source, target, options))

    def resolve(self, image: ImageName) -> Digest:
        """The digest of an image now; see `sealgate.Client.resolve`."""
        return self._run(lambda place: operations.resolve(place, image))

    def _run(self, start: Callable[[Place], Flow[T]]) -> T:
        place = self._knowledge.begin()
        try:
            return self._threads.run(start(place), seconds=self._seconds)
        finally:
            self._knowledge.end(place)


# -- one call, one client


def verify(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyArguments],
) -> Verdict:
    """Verify one image; see `sealgate.verify`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.verify(image, **arguments)


def verify_all(
    images: Sequence[ImageName],
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyArguments],
) -> list[list[Verdict]]:
    """Verify images at once; see `sealgate.verify_all`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.verify_all(images, **arguments)


def sign(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[SignArguments],
) -> list[Signature]:
    """Sign one image; see `sealgate.sign`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.sign(image, **arguments)


def attest(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[AttestArguments],
) -> list[Attestation]:
    """Attest one image; see `sealgate.attest`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.attest(image, **arguments)


def verify_attestation(
    image: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[VerifyAttestationArguments],
) -> Verdict:
    """Verify what was signed about one image; see `sealgate.verify_attestation`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.verify_attestation(image, **arguments)


def attachments(
    image: ImageName,
    *,
    content: bool = False,
    tag_prefix: str = "",
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
) -> Attachments:
    """List what is attached to an image; see `sealgate.attachments`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.attachments(image, content=content, tag_prefix=tag_prefix)


def copy(
    source: ImageName,
    target: ImageName,
    *,
    registry: RegistrySettings = ANONYMOUS,
    seconds: float = limits.TOTAL_SECONDS,
    **arguments: Unpack[CopyArguments],
) -> Copied:
    """Copy an image with everything attached; see `sealgate.copy`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.copy(source, target, **arguments)


def resolve(
    image: ImageName, *, registry: RegistrySettings = ANONYMOUS, seconds: float = limits.TOTAL_SECONDS
) -> Digest:
    """The digest of an image now; see `sealgate.resolve`."""
    with Client(registry=registry, seconds=seconds) as client:
        return client.resolve(image)


def load_public_key(
    reference: str, *, environ: Mapping[str, str] | None = None, seconds: float = limits.TOTAL_SECONDS
) -> PublicKey:
    """The public key that a key reference names; see `sealgate.load_public_key`."""
    from sealgate.library import keys

    return run_alone(keys.public_key(reference, environ), seconds=seconds)


def load_signer(
    reference: str,
    *,
    password: bytes | Callable[[], bytes],
    digest_algorithm: HashName | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float = limits.TOTAL_SECONDS,
) -> Signer:
    """The signer that a key reference names; see `sealgate.load_signer`."""
    from sealgate.library import keys

    return run_alone(keys.signer(reference, password, digest_algorithm, environ), seconds=seconds)


def load_author(
    token: str,
    *,
    signing_config: bytes,
    trusted_root: bytes | None,
    formats: Iterable[Format] = ("bundle",),
    audience: str = "sigstore",
    algorithm: str = "ecdsa-sha2-256-nistp256",
    seconds: float = limits.TOTAL_SECONDS,
) -> Author:
    """Somebody who signs with a certificate; see `sealgate.load_author`."""
    from sealgate.library import keyless

    made = keyless.author(
        token,
        signing_config=signing_config,
        trusted_root=trusted_root,
        formats=formats,
        audience=audience,
        algorithm=algorithm,
    )
    return run_alone(made, seconds=seconds)


def load_trust_root(
    path: str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    seconds: float = limits.TOTAL_SECONDS,
) -> TrustRoot:
    """The trust root in a file, or the one that an environment names; see `sealgate.load_trust_root`."""
    from sealgate.library import trust

    return run_alone(trust.loading(path, environ), seconds=seconds)


def sign_blob(
    source: BlobSource, *, key: Signer | PrivateKey | Author, unsafe_image_payload: bool = False
) -> BlobSignature:
    """Sign a file; see `sealgate.sign_blob`."""
    from sealgate.library import blobs

    return run_alone(blobs.signing(source, key, unsafe_image_payload=unsafe_image_payload), seconds=blobs.SECONDS)


def verify_blob(
    source: BlobSource,
    *,
    bundles: Iterable[bytes] = (),
    signatures: Iterable[bytes] = (),
    keys: Keys | None = None,
    require: Require,
    deny: DenyList | None = None,
    digest_algorithm: HashName | None = None,
    **trusting: Unpack[TrustArguments],
) -> Verdict:
    """Verify a file; see `sealgate.verify_blob`."""
    from sealgate.library import blobs

    judged = blobs.verifying(
        source,
        bundles=bundles,
        signatures=signatures,
        keys=keys,
        require=require,
        deny=deny,
        digest_algorithm=digest_algorithm,
        **trusting,
    )
    return run_alone(judged, seconds=blobs.SECONDS)


def attest_blob(
    *sources: BlobSource, key: Signer | PrivateKey | Author, predicate: Predicate, predicate_type: str
) -> BlobAttestation:
    """Sign one Statement about files; see `sealgate.attest_blob`."""
    from sealgate.library import attestations, blobs

    made = attestations.attesting_blob(sources, key, predicate, predicate_type)
    return run_alone(made, seconds=blobs.SECONDS)


def verify_blob_attestation(
    source: BlobSource | Digest,
    *,
    attestations: Iterable[bytes],
    predicate_type: str,
    keys: Keys | None = None,
    require: Require,
    conditions: Sequence[Condition] = (),
    deny: DenyList | None = None,
    digest_algorithm: HashName | None = None,
    unsafe_any_subject: bool = False,
    **trusting: Unpack[TrustArguments],
) -> Verdict:
    """Verify what was signed about a file; see `sealgate.verify_blob_attestation`."""
    from sealgate.library import attestations as attesting
    from sealgate.library import blobs

    judged = attesting.verifying_blob(
        source,
        attestations=attestations,
        predicate_type=predicate_type,
        keys=keys,
        require=require,
        conditions=conditions,
        deny=deny,
        digest_algorithm=digest_algorithm,
        unsafe_any_subject=unsafe_any_subject,
        **trusting,
    )
    return run_alone(judged, seconds=blobs.SECONDS)
