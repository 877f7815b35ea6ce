"""Base64 as tokens are written in it: read once, strictly, into text."""

from __future__ import annotations

import binascii

from sealgate.errors import ContentError

_FROM_URL_SAFE = str.maketrans("-_", "+/")


def decode(text: str) -> str:
    """The text of base64 in either alphabet, with or without padding (RFC 7515, section 2). Raises `ContentError`."""
    padded = text.rstrip("=").translate(_FROM_URL_SAFE)
    try:
        return binascii.a2b_base64(padded + "=" * (-len(padded) % 4), strict_mode=True).decode()
    except ValueError:
        raise ContentError("a token is not base64") from None


def encode(data: bytes) -> str:
    """Base64 in the alphabet of URLs, without padding."""
    import base64

    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
