"""Keys, certificates and logs that stand in policies as text. Pure; every error names the place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sealgate.errors import KeyMaterialError, PolicyInvalidError
from sealgate.keys.algorithms import PublicKey
from sealgate.truststore import material

if TYPE_CHECKING:
    from sealgate.trust.root import Authority, Log

_BLOCK = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----\r?\n?", re.DOTALL)


def public_key(pem: bytes, where: str) -> PublicKey:
    """One key in PEM. Raises `PolicyInvalidError`."""
    try:
        return PublicKey.from_pem(pem, what="the key")
    except KeyMaterialError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error


def public_keys(pem: bytes, where: str) -> tuple[PublicKey, ...]:
    """Every key of a text, each once and in its order; text between them is refused. Raises `PolicyInvalidError`."""
    blocks = _BLOCK.findall(pem)
    if len(blocks) < 2:
        return (public_key(pem, where),)
    if _BLOCK.sub(b"", pem).strip():
        raise PolicyInvalidError(f"{where}: there is something between the keys", hint="PEM blocks alone")
    found = {key.spki: key for key in (public_key(block, where) for block in blocks)}
    return tuple(found.values())


def log(pem: bytes, where: str) -> Log:
    """A log of which the key is known. Raises `PolicyInvalidError`."""
    try:
        return material.key_alone(pem, what=where)
    except KeyMaterialError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error


def authorities(pem: bytes, where: str) -> tuple[Authority, ...]:
    """Authorities of a text with roots, and intermediates below them. Raises `PolicyInvalidError`."""
    try:
        return material.pool(pem, what=where)
    except KeyMaterialError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error


def chain(pem: bytes, where: str, *, timestamps: bool = False) -> Authority:
    """One authority by its certificates in order, the anchor last. Raises `PolicyInvalidError`."""
    from sealgate.trust.period import ALWAYS

    try:
        if timestamps:
            return material.authority(pem, kind="timestamp", url="", valid=ALWAYS, what=where)
        return material.chain(pem, what=where)
    except KeyMaterialError as error:
        raise PolicyInvalidError(f"{where}: {error.message}", hint=error.hint) from error
