"""Base64 with one spelling for each byte string (RFC 4648 sections 3.5, 4 and 5; bypass W16).

Lax decoders drop foreign characters and stray padding bits, so that two texts are one byte string. Here a text is
decoded only if encoding the bytes gives the same text again.
"""

from __future__ import annotations

import binascii

from sealgate.errors import ContentError

_FROM_URL_SAFE = str.maketrans("-_", "+/")


def decode(text: object, *, what: str, error: type[ContentError], url_safe: bool = False) -> bytes:
    """Decode padded standard base64. `url_safe` takes the other alphabet too, but never a mixture of both.

    Raises `error`, naming `what`, for anything else, of whatever type.
    """
    if not isinstance(text, str):
        raise error(f"{what} is not base64: not a string")
    standard = text
    if url_safe and ("-" in text or "_" in text):
        if "+" in text or "/" in text:
            raise error(f"{what} is not base64: two alphabets in one text")
        standard = text.translate(_FROM_URL_SAFE)
    try:
        data = binascii.a2b_base64(standard, strict_mode=True)
    except ValueError as problem:
        raise error(f"{what} is not base64") from problem
    if binascii.b2a_base64(data, newline=False) != standard.encode("ascii"):
        raise error(f"{what} is not base64 in its one canonical form")
    return data


def encode(data: bytes) -> str:
    """Standard base64 with padding, on one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")
