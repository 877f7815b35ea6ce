"""Keys in environment variables: `env://VARIABLE` holds what a key file would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sealgate.errors import KeyNotFoundError
from sealgate.keys.algorithms import PublicKey, parse_public_pem
from sealgate.keys.providers import file

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName
    from sealgate.keys.resolve import KeyReference
    from sealgate.keys.signer import Signer


def _read(reference: KeyReference, environ: Mapping[str, str]) -> bytes:
    found = environ.get(reference.rest)
    if not found:
        state = "empty" if found == "" else "not set"
        raise KeyNotFoundError(f"the environment variable {ascii(reference.rest)} is {state}")
    return found.encode("utf-8", "surrogateescape")


async def public_key(reference: KeyReference, *, environ: Mapping[str, str]) -> PublicKey:
    """See `resolve.Provider`."""
    return parse_public_pem(_read(reference, environ), what=str(reference))


async def signer(
    reference: KeyReference,
    *,
    password: Callable[[], bytes],
    environ: Mapping[str, str],
    hash_name: HashName | None,
) -> Signer:
    """See `resolve.Provider`."""
    data = _read(reference, environ)
    return await file.signer_of(data, what=str(reference), password=password, hash_name=hash_name)


async def public_half(
    reference: KeyReference, *, password: Callable[[], bytes], environ: Mapping[str, str]
) -> PublicKey:
    """See `resolve.Provider`."""
    return await file.public_half_of(_read(reference, environ), what=str(reference), password=password)
