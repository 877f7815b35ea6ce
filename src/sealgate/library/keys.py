"""Keys by reference, for the library: like `--key`, but nothing of the environment is read unless it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.keys import resolve

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.keys.signer import Signer
    from sealgate.transport.flow import Flow


def public_key(reference: str, environ: Mapping[str, str] | None) -> Flow[PublicKey]:
    """As `load_public_key`, as a flow."""
    return resolve.load_public_key(reference, environ=environ if environ is not None else {})


def signer(
    reference: str,
    password: bytes | Callable[[], bytes],
    digest_algorithm: HashName | None,
    environ: Mapping[str, str] | None,
) -> Flow[Signer]:
    """As `load_signer`, as a flow."""
    if isinstance(password, str):
        raise TypeError("a password is bytes")
    read = password if callable(password) else lambda: password
    return resolve.load_signer(
        reference, password=read, environ=environ if environ is not None else {}, hash_name=digest_algorithm
    )


async def load_public_key(
    reference: str, *, environ: Mapping[str, str] | None = None, seconds: float = limits.TOTAL_SECONDS
) -> PublicKey:
    """The public key that `reference` names: a file, `https://…`, or `env://VARIABLE`, which is looked up in `environ`.

    Raises `KeyNotFoundError`, `KeyMalformedError`, `KeyIsPrivateError`, `KeyUnsupportedError`; over the network also
    `UnavailableError`s. `PublicKey.from_pem` reads bytes.
    """
    from sealgate.library.driving import run_alone_beside

    return await run_alone_beside(public_key(reference, environ), seconds=seconds)


async def load_signer(
    reference: str,
    *,
    password: bytes | Callable[[], bytes],
    digest_algorithm: HashName | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float = limits.TOTAL_SECONDS,
) -> Signer:
    """The signer of a private key in cosign's format: a file, or `env://VARIABLE`, which is looked up in `environ`.

    `password` is the password, or gives it when it is needed (in another thread). Opening a key takes 0.15 s and 64 MiB, on
    purpose: keep the signer. `digest_algorithm` replaces the key's own hash. Raises as `load_public_key`, and
    `PasswordError`.
    """
    from sealgate.library.driving import run_alone_beside

    flow = signer(reference, password, digest_algorithm, environ)
    return await run_alone_beside(flow, seconds=seconds)
