"""From a key reference, as people write it behind `--key`, to a public key or a signer.

A reference is a path, or `scheme://…`. Each scheme has a file in `providers/`, imported when it is asked for; a new kind of
reference is one more file and one more line here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from sealgate.errors import KeyNotFoundError, KeyUnsupportedError

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.keys.signer import Signer

_PROVIDERS = {"": "file", "env": "environment", "https": "web", "http": "web"}
_SUPPORTED = "a file, env://VARIABLE, and for public keys https://… are supported"
_PEM_BEGIN = "-----BEGIN"


class KeyReference(NamedTuple):
    """A key reference in parts: a path has no scheme."""

    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> KeyReference:
        """Read `path` or `scheme://rest`. Raises `KeyNotFoundError` (empty) or `KeyUnsupportedError` (a key itself)."""
        if not text:
            raise KeyNotFoundError("the key reference is empty", hint=_SUPPORTED)
        if _PEM_BEGIN in text:
            raise KeyUnsupportedError(
                "the key reference is a key itself", hint="put it into a file, or a variable and say env://VARIABLE"
            )
        scheme, separator, rest = text.partition("://")
        if text.startswith("pkcs11:"):
            return cls("pkcs11", text.removeprefix("pkcs11:"))
        if separator and scheme.isascii() and scheme[:1].isalpha() and scheme.replace("-", "").isalnum():
            return cls(scheme.lower(), rest)
        return cls("", text)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.rest}" if self.scheme else self.rest


class Provider(Protocol):
    """What a module in `providers/` has."""

    async def public_key(self, reference: KeyReference, *, environ: Mapping[str, str]) -> PublicKey:
        """A key to verify with. A private key is refused."""

    async def signer(
        self,
        reference: KeyReference,
        *,
        password: Callable[[], bytes],
        environ: Mapping[str, str],
        hash_name: HashName | None,
    ) -> Signer:
        """A key to sign with."""

    async def public_half(
        self, reference: KeyReference, *, password: Callable[[], bytes], environ: Mapping[str, str]
    ) -> PublicKey:
        """The public key of a public or a private key."""


def _provider(reference: KeyReference) -> Provider:
    import importlib

    module = _PROVIDERS.get(reference.scheme)
    if module is None:
        raise KeyUnsupportedError(
            f"key references of the kind {ascii(reference.scheme[:40])} are not supported", hint=_SUPPORTED
        )
    return cast("Provider", importlib.import_module(f"sealgate.keys.providers.{module}"))


async def load_public_key(reference: str, *, environ: Mapping[str, str]) -> PublicKey:
    """The public key to verify with.

    Raises `KeyIsPrivateError`, `KeyNotFoundError`, `KeyMalformedError`, `KeyUnsupportedError`; over the network also
    `UnavailableError`s.
    """
    parsed = KeyReference.parse(reference)
    return await _provider(parsed).public_key(parsed, environ=environ)


async def load_signer(
    reference: str,
    *,
    password: Callable[[], bytes],
    environ: Mapping[str, str],
    hash_name: HashName | None = None,
) -> Signer:
    """The signer of a private key. `password` is called once, if the key has one; `hash_name` overrides the key's hash.

    Raises as `load_public_key`, and `PasswordError`.
    """
    parsed = KeyReference.parse(reference)
    return await _provider(parsed).signer(parsed, password=password, environ=environ, hash_name=hash_name)


async def public_key_of(reference: str, *, password: Callable[[], bytes], environ: Mapping[str, str]) -> PublicKey:
    """The public key of a public or a private key: for `sealgate public-key`. Raises as `load_signer`."""
    parsed = KeyReference.parse(reference)
    return await _provider(parsed).public_half(parsed, password=password, environ=environ)
