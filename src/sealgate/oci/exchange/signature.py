"""Requests to AWS, signed (Signature Version 4).

Source: AWS, "Create a signed AWS API request"; checked against the test suite that AWS publishes for it. Only what is sent here
is signed: a path and query that are in their canonical form already.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sealgate.transport.message import Url

_ALGORITHM = "AWS4-HMAC-SHA256"


class Keys(NamedTuple):
    """An access key of AWS. Its text never shows it."""

    identifier: str
    secret: str
    session: str = ""

    def __repr__(self) -> str:
        return "Keys(…)"


def sign(
    method: str, url: Url, headers: Sequence[tuple[str, str]], body: bytes, *,
    keys: Keys, region: str, service: str, now: float,
) -> tuple[tuple[str, str], ...]:  # fmt: skip
    """The headers to send: those given, the time, the session's token if there is one, and the signature over all of them."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    sent = [*headers, ("X-Amz-Date", moment)]
    if keys.session:
        sent.append(("X-Amz-Security-Token", keys.session))
    canonical = _canonical_headers([*sent, ("Host", url.authority)])
    names = ";".join(name for name, _ in canonical)
    path, _, query = url.target.partition("?")
    request = "\n".join(
        (
            method,
            path,
            "&".join(sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)),
            *(f"{name}:{value}" for name, value in canonical),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    value = f"{_ALGORITHM} Credential={keys.identifier}/{scope}, SignedHeaders={names}, Signature={signature}"
    return (*sent, ("Authorization", value))


def _canonical_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sorted by name in lower case, several values of one name joined, runs of blanks as one."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower(), []).append(" ".join(value.split()))
    return [(name, ",".join(found[name])) for name in sorted(found)]
