"""An identity token (OpenID Connect Core 1.0, section 2): a JWT by an issuer, which the certificate authority believes.

Its claims are not verified here: they are read to choose what proves the possession of the key, and to say early what the
authority would say late. The token itself is a secret: it is in no `repr` and in no error.
"""

from __future__ import annotations

import binascii
from typing import Any

from sealgate import limits, strictjson
from sealgate.errors import ContentError, IdentityTokenError, TokenAudienceError, TokenExpiredError

_SKEW = 60.0
"""Seconds by which an issuer's clock may be ahead of ours."""
_CLAIM_CHARS = 1024


class IdentityToken:
    """A token and what it says. Nothing of it is verified."""

    __slots__ = ("_text", "claims")

    def __init__(self, text: str, claims: dict[str, Any]) -> None:
        """Not for callers: use `parse`."""
        self._text = text
        self.claims = claims

    def reveal(self) -> str:
        """The token. A secret."""
        return self._text

    @property
    def issuer(self) -> str:
        """Who made it."""
        return _claim(self.claims, "iss")

    @property
    def challenge(self) -> str:
        """What is signed to prove the possession of the key: the verified e-mail address, else the subject."""
        verified = self.claims.get("email_verified")
        if self.claims.get("email") and (verified is True or verified == "true"):  # some issuers write text
            return _claim(self.claims, "email")
        return _claim(self.claims, "sub")

    def check(self, *, audience: str, now: float) -> None:
        """Raise `TokenExpiredError` or `TokenAudienceError` where the authority would refuse it anyway."""
        expires, begins = _time(self.claims.get("exp")), _time(self.claims.get("nbf", 0))
        if expires <= now:
            raise TokenExpiredError(
                f"the identity token has expired {_ago(now - expires)}", hint="get a new one, and sign again"
            )
        if begins > now + _SKEW:
            raise TokenExpiredError(
                f"the identity token is valid from {_ago(begins - now)[:-4]} on only",
                hint="is this machine's clock right?",
            )
        given = self.claims.get("aud")
        audiences = given if isinstance(given, list) else [given]
        if audience not in audiences:
            shown = ", ".join(ascii(each)[:100] for each in audiences[:4])
            raise TokenAudienceError(
                f"the identity token is for {shown}, and {audience!r} is needed",
                hint="ask for a token with that audience; --oidc-client-id NAME if your authority expects another one",
            )

    def describe(self) -> str:
        """For people: whom it names, and who says so."""
        return f"{self.challenge} ({self.issuer})"

    def __repr__(self) -> str:
        return "IdentityToken(…)"


def looks_like(text: str) -> bool:
    """Whether a text can only be a token: three parts of base64url, the first a JSON object (RFC 7515, section 3.1)."""
    parts = text.strip().split(".", 3)
    return len(parts) == 3 and parts[0].startswith("ey") and all(map(_is_base64url, parts))


def parse(text: str, *, what: str) -> IdentityToken:
    """Read a token, signed in whatever way; white space around it is dropped. Raises `IdentityTokenError`, which names `what`."""
    text = text.strip()
    if len(text) > limits.TOKEN_BYTES:
        raise IdentityTokenError(f"{what} is larger than {limits.TOKEN_BYTES} bytes, which no identity token is")
    parts = text.split(".", 3)  # not as often as it says (bypass D08)
    if len(parts) != 3 or not all(map(_is_base64url, parts)):
        raise IdentityTokenError(
            f"{what} is not an identity token (a JWT)", hint="it has three parts with dots between"
        )
    header, claims = (_object(part, what) for part in parts[:2])
    if header.get("alg") in {None, "none"}:
        raise IdentityTokenError(f"{what} is a token that nobody signed")
    token = IdentityToken(text, claims)
    for name in ("iss", "sub"):
        _claim(claims, name)
    return token


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        data = binascii.a2b_base64(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4))
        return strictjson.parse_object(data, limit=limits.TOKEN_BYTES, what="a part")
    except (ValueError, ContentError):
        # The cause is dropped on purpose: it may show a piece of the token.
        raise IdentityTokenError(f"{what} is not an identity token: a part of it is no JSON object") from None


def _claim(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _CLAIM_CHARS:
        raise IdentityTokenError(f"the identity token has no claim {name!r} of a sensible length")
    return value


def _is_base64url(part: str) -> bool:
    return bool(part) and part.isascii() and part.replace("-", "").replace("_", "").isalnum()


def _time(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise IdentityTokenError("the identity token does not say how long it is valid")
    return value


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {unit} ago"
    return f"{int(seconds)} seconds ago"
