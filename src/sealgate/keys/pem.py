"""PEM (RFC 7468), read strictly: exactly one block and nothing else (bypass W15), canonical base64 (W16).

What stands around the block may only be white space. Headers inside a block (RFC 1421, as encrypted OpenSSL keys have
them) are refused.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

from sealgate import limits
from sealgate.errors import KeyMalformedError

_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_SPACE = b" \t\r\n"
_LINE = 64


class Block(NamedTuple):
    """The label of a PEM block and the bytes inside."""

    label: str
    body: bytes


def labels(data: bytes) -> list[str]:
    """The labels of everything in `data` that looks like the beginning of a block, for choosing a message."""
    found = []
    for part in data[: limits.KEY_FILE_BYTES].split(_BEGIN)[1:]:
        label = part[:64].split(_DASHES, 1)[0]
        found.append(label.decode("ascii", "replace").strip())
    return found


def decode(data: bytes, *, what: str) -> Block:
    """The one block of `data`; `what` names the source in errors. Raises `KeyMalformedError`."""
    if len(data) > limits.KEY_FILE_BYTES:
        raise KeyMalformedError(f"{what} is larger than {limits.KEY_FILE_BYTES} bytes, which no key is")
    found = labels(data)
    if not found:
        raise KeyMalformedError(f"{what} is not a PEM file", hint=_hint_without_pem(data))
    if len(found) > 1:
        raise KeyMalformedError(f"{what} has {len(found)} PEM blocks; exactly one is expected")
    lines = [line.rstrip(_SPACE) for line in data.strip(_SPACE).split(b"\n")]
    first, last = lines[0], lines[-1]
    if not first.startswith(_BEGIN):
        raise KeyMalformedError(f"{what} has text before its PEM block", hint="keep the block only")
    label = first[len(_BEGIN) : -len(_DASHES)]
    if not first.endswith(_DASHES) or not label or last != _END + label + _DASHES:
        if any(line.startswith(_END) for line in lines[:-1]):
            raise KeyMalformedError(f"{what} has text after its PEM block", hint="keep the block only")
        raise KeyMalformedError(f"the PEM block of {what} has no matching end line", hint="was it cut off?")
    if not label.decode("ascii", "replace").isprintable() or not label.isascii():
        raise KeyMalformedError(f"the PEM block of {what} has an unreadable label")
    text = b"".join(lines[1:-1])
    if b":" in text:
        raise KeyMalformedError(
            f"the PEM block of {what} has headers", hint="`openssl pkey -in FILE` rewrites old and encrypted keys"
        )
    return Block(label.decode("ascii"), base64(text, what=f"the PEM block of {what}"))


def base64(text: bytes | str, *, what: str) -> bytes:
    """Canonical standard base64: no junk, no missing padding, no stray bits. Raises `KeyMalformedError`."""
    try:
        body = binascii.a2b_base64(text, strict_mode=True)
        canonical = binascii.b2a_base64(body, newline=False)
    except ValueError:
        raise KeyMalformedError(f"{what} is not base64") from None
    if not body or canonical != (text if isinstance(text, bytes) else text.encode("ascii")):
        raise KeyMalformedError(f"{what} is not canonical base64")
    return body


def encode(label: str, body: bytes) -> bytes:
    """A PEM block with lines of 64 characters and a newline at the end."""
    text = binascii.b2a_base64(body, newline=False)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    name = label.encode("ascii")
    return b"\n".join([_BEGIN + name + _DASHES, *lines, _END + name + _DASHES, b""])


def _hint_without_pem(data: bytes) -> str:
    if data[:1] == b"\x30":
        return "it looks like DER: `openssl pkey -pubin -inform DER -in FILE` turns it into PEM"
    if data.lstrip().startswith((b"ssh-", b"ecdsa-sha2-")):
        return "it looks like an OpenSSH key: `ssh-keygen -e -m PKCS8 -f FILE` turns it into PEM"
    if data.startswith(b"untrusted comment:"):
        return "it looks like a minisign or signify key, which is not read"
    if not data.strip():
        return "it is empty"
    return "a public key begins with -----BEGIN PUBLIC KEY-----"
