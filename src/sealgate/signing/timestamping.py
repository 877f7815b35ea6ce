"""Timestamp authorities: when our signature existed, as somebody else's clock says it (RFC 3161).

The imprint is of the signature's bytes. What comes back must be granted, of our imprint and with our nonce; whether the
authority's own signature holds is judged under the trust root, with everything else (`author`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import TimestampAnswerError, TimestampRefusedError, TimestampUnavailableError
from sealgate.signing.service import Kind, Service, ask

if TYPE_CHECKING:
    from sealgate.transport.message import Tls, Url

KIND = Kind("the timestamp authority", TimestampUnavailableError, TimestampRefusedError, TimestampAnswerError)
_HEADERS = (("Content-Type", "application/timestamp-query"), ("Accept", "application/timestamp-reply"))
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = frozenset({0, 1})
"""`granted` and `grantedWithMods` (RFC 3161, section 2.4.2)."""


def service(url: Url, tls: Tls) -> Service:
    """The authority at this address, which is that of its timestamps and not of what is above."""
    return Service(KIND, url, tls)


async def stamp(authority: Service, signature: bytes) -> bytes:
    """The response, DER. Raises `TimestampUnavailableError`, `TimestampRefusedError`, `TimestampAnswerError`."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

    # Without its certificates, as cosign asks: whoever believes in the authority has them.
    query = (
        TimestampRequestBuilder().data(signature).hash_algorithm(HashAlgorithm.SHA256).cert_request(cert_request=False)
    ).build()
    response = await ask(
        authority, "POST", authority.url, headers=_HEADERS, body=query.as_bytes(), limit=limits.SMALL_BODY_BYTES
    )
    try:
        answer = decode_timestamp_response(response.body)
        status = int(answer.status)
    except ValueError as error:
        raise authority.invalid("gives a timestamp that cannot be read") from error
    if status not in _GRANTED:
        raise TimestampRefusedError(f"{authority} makes no timestamp (status {status})")
    try:
        info = answer.tst_info
        algorithm, imprint, nonce = info.message_imprint.hash_algorithm, info.message_imprint.message, info.nonce
    except ValueError as error:
        raise authority.invalid("gives a timestamp that cannot be read") from error
    if algorithm.dotted_string != _SHA256 or imprint != hashlib.sha256(signature).digest():
        raise authority.invalid("gives a timestamp of something else")
    if nonce != query.nonce:
        raise authority.invalid("gives a timestamp that was made for another question")
    return response.body
