"""Keys in files: `cosign.pub`, `cosign.key`, or what a shell's `<(…)` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import KeyMalformedError, KeyMaterialError, KeyNotFoundError
from sealgate.keys.algorithms import PublicKey, parse_public_pem
from sealgate.transport import flow

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName
    from sealgate.keys.resolve import KeyReference
    from sealgate.keys.signer import Signer


def read(path: str) -> bytes:
    """The bytes of a key file. Raises `KeyNotFoundError`, `KeyMalformedError`, or `KeyMaterialError` when it may not be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(limits.KEY_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise KeyNotFoundError(
            f"there is no key file {path}", hint="`sealgate generate-key-pair` makes a pair"
        ) from None
    except IsADirectoryError:
        raise KeyMalformedError(f"{path} is a directory, not a key file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "the name is not a path"
        raise KeyMaterialError(f"cannot read the key file {path}: {reason}") from None
    if len(data) > limits.KEY_FILE_BYTES:
        raise KeyMalformedError(f"{path} is larger than {limits.KEY_FILE_BYTES} bytes, which no key is")
    return data


async def public_key(reference: KeyReference, *, environ: Mapping[str, str]) -> PublicKey:
    """See `resolve.Provider`. A file is read at once: a thread would cost more than the read."""
    del environ
    return parse_public_pem(read(reference.rest), what=reference.rest)


async def signer(
    reference: KeyReference,
    *,
    password: Callable[[], bytes],
    environ: Mapping[str, str],
    hash_name: HashName | None,
) -> Signer:
    """See `resolve.Provider`."""
    del environ
    return await signer_of(read(reference.rest), what=reference.rest, password=password, hash_name=hash_name)


async def public_half(
    reference: KeyReference, *, password: Callable[[], bytes], environ: Mapping[str, str]
) -> PublicKey:
    """See `resolve.Provider`."""
    del environ
    return await public_half_of(read(reference.rest), what=reference.rest, password=password)


async def signer_of(data: bytes, *, what: str, password: Callable[[], bytes], hash_name: HashName | None) -> Signer:
    """The signer of the bytes of a key file."""
    from sealgate.keys import keyfile
    from sealgate.keys.signer import PrivateKeySigner

    keyfile.parse(data, what=what)
    secret = password()  # asked on the flow's own thread, which may own the terminal
    key = await flow.call(lambda: keyfile.decrypt(data, lambda: secret, what=what))
    return PrivateKeySigner(key, hash_name=hash_name)


async def public_half_of(data: bytes, *, what: str, password: Callable[[], bytes]) -> PublicKey:
    """The public key of the bytes of a public key or a key file."""
    from sealgate.keys import pem

    if any("PRIVATE KEY" in label for label in pem.labels(data)):
        return (await signer_of(data, what=what, password=password, hash_name=None)).public_key
    return parse_public_pem(data, what=what)
