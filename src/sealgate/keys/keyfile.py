"""cosign's encrypted private key file, both ways.

A PEM block `ENCRYPTED SIGSTORE PRIVATE KEY` (older: `ENCRYPTED COSIGN PRIVATE KEY`) around JSON: the key is
scrypt(password) (RFC 7914), the cipher NaCl's secretbox (XSalsa20-Poly1305) over PKCS#8 DER. Both parameters come from the
file, so only the three sets that cosign ever wrote are run. Everything here blocks for a tenth of a second: run it through
`flow.call`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import ContentError, KeyMalformedError, KeyUnsupportedError, PasswordError
from sealgate.keys import pem

if TYPE_CHECKING:
    from sealgate.keys.private import PrivateKey

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
LABELS = (LABEL, "ENCRYPTED COSIGN PRIVATE KEY")
_PARAMETERS = ((32768, 8, 1), (65536, 8, 1), (131072, 8, 1))
"""N, r, p: old cosign, cosign today, theupdateframework's sensitive set."""
_N, _R, _P = 65536, 8, 1
_SALT_BYTES = 32
_NONCE_BYTES = 24
_KEY_BYTES = 32


class Sealed(NamedTuple):
    """The parts of a key file, checked for shape; nothing of it is believed before it decrypts."""

    cost: tuple[int, int, int]
    salt: bytes
    nonce: bytes
    ciphertext: bytes


def parse(data: bytes, *, what: str) -> Sealed:
    """Take a key file apart. Raises `KeyMalformedError`, and `KeyUnsupportedError` for parameters that are not cosign's."""
    block = pem.decode(data, what=what)
    if block.label not in LABELS:
        raise _not_a_key_file(block.label, what)
    try:
        body = strictjson.parse_object(block.body, limit=limits.KEY_FILE_BYTES, what=f"the body of {what}")
    except ContentError as error:
        raise KeyMalformedError(error.message) from None
    kdf, cipher = _part(body, "kdf", dict, what), _part(body, "cipher", dict, what)
    if _part(kdf, "name", str, what) != "scrypt" or _part(cipher, "name", str, what) != "nacl/secretbox":
        raise KeyUnsupportedError(f"{what} is not encrypted by scrypt and nacl/secretbox")
    params = _part(kdf, "params", dict, what)
    cost = tuple(_part(params, name, int, what) for name in ("N", "r", "p"))
    if cost not in _PARAMETERS:
        raise KeyUnsupportedError(
            f"{what} has unsupported scrypt parameters",
            hint="N is 32768, 65536 or 131072, r is 8, p is 1; others could take all memory",
        )
    salt = pem.base64(_part(kdf, "salt", str, what), what=f"the salt of {what}")
    nonce = pem.base64(_part(cipher, "nonce", str, what), what=f"the nonce of {what}")
    ciphertext = pem.base64(_part(body, "ciphertext", str, what), what=f"the ciphertext of {what}")
    if len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
        raise KeyMalformedError(f"the salt or the nonce of {what} has the wrong length")
    return Sealed(cost, salt, nonce, ciphertext)


def decrypt(data: bytes, password: Callable[[], bytes], *, what: str) -> PrivateKey:
    """Read and decrypt a key file; `password` is asked only when the file is sound.

    A password that ends in a newline is also tried without it (`echo secret | …`). Raises as `parse`, and `PasswordError`.
    """
    from sealgate.keys import private

    sealed = parse(data, what=what)
    secret = password()
    for attempt in dict.fromkeys((secret, secret.removesuffix(b"\n").removesuffix(b"\r"))):
        der = _open(sealed, attempt)
        if der is not None:
            return private.from_der(der, what=what, authenticated=True)
    raise PasswordError(
        f"the password of {what} is wrong, or the file was damaged",
        hint="COSIGN_PASSWORD, the prompt or stdin gives the password; an empty one is a password too",
    )


def encrypt(key: PrivateKey, password: bytes, *, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The key file of `key`, byte for byte laid out as cosign lays it out."""
    import binascii

    from nacl import bindings

    def text(value: bytes) -> str:
        return binascii.b2a_base64(value, newline=False).decode("ascii")

    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    box = bindings.crypto_secretbox(key.pkcs8(), nonce, _stretch(password, salt, (_N, _R, _P)))
    body = (
        f'{{"kdf":{{"name":"scrypt","params":{{"N":{_N},"r":{_R},"p":{_P}}},"salt":"{text(salt)}"}},'
        f'"cipher":{{"name":"nacl/secretbox","nonce":"{text(nonce)}"}},"ciphertext":"{text(box)}"}}'
    )
    return pem.encode(LABEL, body.encode("ascii"))


def _open(sealed: Sealed, password: bytes) -> bytes | None:
    from nacl import bindings
    from nacl.exceptions import CryptoError

    try:
        opened: bytes = bindings.crypto_secretbox_open(
            sealed.ciphertext, sealed.nonce, _stretch(password, sealed.salt, sealed.cost)
        )
    except (CryptoError, ValueError):
        return None
    return opened


def _stretch(password: bytes, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=limits.SCRYPT_MEMORY, dklen=_KEY_BYTES)


def _part(container: dict[str, Any], name: str, kind: type, what: str) -> Any:
    value = container.get(name)
    if type(value) is not kind:  # exactly: True is an int (W17)
        raise KeyMalformedError(f"{what}: {name} is missing or of the wrong type")
    return value


def _not_a_key_file(label: str, what: str) -> KeyMalformedError | KeyUnsupportedError:
    if label == "PUBLIC KEY":
        return KeyMalformedError(f"{what} is a public key; a private key is needed to sign")
    if "PRIVATE KEY" in label:
        return KeyUnsupportedError(
            f"{what} is a private key of another format ({label[:40]})",
            hint="`sealgate import-key-pair --key FILE` makes it a cosign key",
        )
    return KeyMalformedError(f"{what} is a PEM block {ascii(label[:40])}, not a private key")
