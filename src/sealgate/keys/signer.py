"""Who can sign: a private key here, or something slow and far away that is asked.

A signer that wants a `digest` (most key services, local keys) is given the hash of the message, so that large files need
not be held in memory; one that wants the `message` (Ed25519) hashes it itself. What comes back is checked before anybody
believes it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, Protocol

from sealgate.errors import KeyUnsupportedError, SigningError
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.keys.private import PrivateKey


class Signer(Protocol):
    """Signs with one key. A provider of a key service implements this."""

    @property
    def public_key(self) -> PublicKey:
        """The public half, of the very version that signs."""

    @property
    def key_version(self) -> str | None:
        """The version of the key, where the service has versions."""

    @property
    def wants(self) -> Literal["message", "digest"]:
        """What `sign` is given."""

    @property
    def hash_name(self) -> HashName | None:
        """The hash of its signatures; None for pure Ed25519, which hashes inside."""

    @property
    def remote(self) -> bool:
        """Whether signing asks another machine: to say so, and to ask once only."""

    def sign(self, data: bytes) -> bytes:
        """The signature (ECDSA in ASN.1 DER) of a message or a digest. Blocks: call it through `sign_message`."""


def signing_hash(algorithm: str) -> HashName | None:
    """The hash that is signed with by default. See docs/keys.md for who can verify what."""
    return _SIGNING_HASHES.get(algorithm, "sha256")


_SIGNING_HASHES: dict[str, HashName | None] = {"ed25519": None}


async def sign_message(signer: Signer, message: bytes) -> bytes:
    """The signature of `message`, made beside the flows, checked with the signer's public key.

    Raises what the signer raises, and `SigningError` when the signature is not the key's.
    """
    data = message
    if signer.wants == "digest":
        if signer.hash_name is None:
            raise SigningError("a signer of digests names no hash")
        data = hashlib.new(signer.hash_name, message).digest()
    signature = await flow.call(lambda: signer.sign(data))
    if signer.public_key.verify(signature, message) is None:
        raise _not_the_keys(signer)
    return signature


async def sign_digest(signer: Signer, digest: bytes) -> bytes:
    """The signature of a message by its digest, made with the signer's `hash_name`; the signer must want digests.

    Raises as `sign_message`.
    """
    if signer.wants != "digest" or signer.hash_name is None:
        raise SigningError("the signer needs the message itself")
    signature = await flow.call(lambda: signer.sign(digest))
    if signer.public_key.verify_digest(signature, digest, signer.hash_name) is None:
        raise _not_the_keys(signer)
    return signature


def _not_the_keys(signer: Signer) -> SigningError:
    return SigningError(
        f"the signer of key {signer.public_key.fingerprint} gave a signature that the key does not verify",
        hint="a key service may have rotated the key; nothing was published",
    )


class PrivateKeySigner:
    """Signs with a private key in memory."""

    __slots__ = ("_hash_name", "_key")

    def __init__(self, key: PrivateKey, *, hash_name: HashName | None = None) -> None:
        """`hash_name` overrides the key's default. Raises `KeyUnsupportedError` for Ed25519, which leaves no choice."""
        algorithm = key.public_key.algorithm
        if hash_name is not None and algorithm == "ed25519":
            raise KeyUnsupportedError("Ed25519 has no choice of hash", hint="leave the digest algorithm out")
        self._key = key
        self._hash_name = hash_name or signing_hash(algorithm)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._key.public_key

    @property
    def key_version(self) -> str | None:
        """A key file has no versions."""
        return None

    @property
    def wants(self) -> Literal["message", "digest"]:
        """A digest; Ed25519 wants the message."""
        return "message" if self._hash_name is None else "digest"

    @property
    def hash_name(self) -> HashName | None:
        """The hash of its signatures."""
        return self._hash_name

    @property
    def remote(self) -> bool:
        """Here."""
        return False

    def sign(self, data: bytes) -> bytes:
        """Sign what `wants` says."""
        if self._hash_name is None:
            return self._key.sign(data, None)
        return self._key.sign_digest(data, self._hash_name)

    def __repr__(self) -> str:
        return f"PrivateKeySigner({self._key!r})"
