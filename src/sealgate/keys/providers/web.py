"""Public keys at an `https://` address. Plain `http://` is for loopback only; private keys never travel.

Nothing is sent along: no credentials, no cookies. Redirects are followed to https only, and from a public server never
inward (bypass T09).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import (
    ForbiddenError,
    KeyMalformedError,
    KeyMaterialError,
    KeyNotFoundError,
    KeyUnsupportedError,
    LimitError,
    ProtocolError,
    RedirectError,
    SealgateError,
    ServerFailureError,
    ThrottledError,
    UnauthorizedError,
)
from sealgate.keys.algorithms import PublicKey, parse_public_pem
from sealgate.transport import address, flow
from sealgate.transport.message import Addresses, Request, Response, Url
from sealgate.transport.url import parse_url, resolve_url

if TYPE_CHECKING:
    from sealgate.keys.algorithms import HashName
    from sealgate.keys.resolve import KeyReference
    from sealgate.keys.signer import Signer

_HEADERS = (("Accept", "application/x-pem-file, application/octet-stream, text/plain, */*"),)


async def public_key(reference: KeyReference, *, environ: Mapping[str, str]) -> PublicKey:
    """See `resolve.Provider`."""
    del environ
    url = _parse(str(reference))
    return parse_public_pem(await _fetch(url), what=str(url))


async def signer(
    reference: KeyReference,
    *,
    password: Callable[[], bytes],
    environ: Mapping[str, str],
    hash_name: HashName | None,
) -> Signer:
    """Refuse: a private key that can be fetched is nobody's own."""
    del password, environ, hash_name
    raise KeyUnsupportedError(
        f"private keys are not fetched over the network ({_parse(str(reference))})",
        hint="download the key file by a way you trust, or give it as env://VARIABLE",
    )


async def public_half(
    reference: KeyReference, *, password: Callable[[], bytes], environ: Mapping[str, str]
) -> PublicKey:
    """See `resolve.Provider`."""
    del password
    return await public_key(reference, environ=environ)


def _parse(text: str) -> Url:
    """Read the address that the user gave. Raises `KeyMaterialError`, without repeating what may be a secret."""
    try:
        url = parse_url(text)
    except ProtocolError as error:
        if "@" in text:
            raise KeyMaterialError(
                "the address of the key has credentials in it, which are never sent",
                hint="download the key yourself and give the file",
            ) from None
        raise KeyMaterialError(
            "the address of the key is not a URL that means one thing", hint="https://host/path, in ASCII"
        ) from error
    if url.scheme != "https" and not _is_loopback(url.host):
        raise KeyUnsupportedError(
            f"a key from {url} could be changed by anybody on the way", hint="https://, or a file"
        )
    return url


def _follow(url: Url, location: str | None) -> Url:
    """Where a redirect leads. Raises `RedirectError`, or `ProtocolError` for what is no URL."""
    if location is None:
        raise RedirectError(f"{url} redirects without saying where to")
    following = resolve_url(url, location)
    if following.scheme != "https" and (url.scheme == "https" or not _is_loopback(following.host)):
        raise RedirectError(f"{url} redirects to plain http, where anybody could change the key")
    return following


def _is_loopback(host: str) -> bool:
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _fetch(start: Url) -> bytes:
    url = start
    addresses: Addresses = "any"
    for _ in range(limits.REDIRECTS + 1):
        response = await _ask(url, "any" if url.origin == start.origin else addresses)
        if response.status == 200:
            return response.body
        if response.status not in {301, 302, 303, 307, 308}:
            raise _failure(url, response.status)
        following = _follow(url, response.header("location"))
        if url is start:
            addresses = "public" if not response.peer or address.is_public(response.peer) else "not-link-local"
        url = following
    raise RedirectError(f"{start} redirects more than {limits.REDIRECTS} times")


async def _ask(url: Url, addresses: Addresses) -> Response:
    """One GET, again after a pause when the server is busy or broken."""
    pause = 0.5
    attempt = 1
    while True:
        try:
            response = await flow.send(
                Request("GET", url, headers=_HEADERS, limit=limits.KEY_FILE_BYTES, addresses=addresses)
            )
        except LimitError:
            raise KeyMalformedError(f"{url} is larger than {limits.KEY_FILE_BYTES} bytes, which no key is") from None
        if (response.status != 429 and response.status < 500) or attempt == limits.ATTEMPTS:
            return response
        wanted = response.header("retry-after") or ""
        seconds = float(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 0.0
        await flow.sleep(min(max(pause, seconds), limits.RETRY_AFTER_SECONDS))
        pause *= 2
        attempt += 1


def _failure(url: Url, status: int) -> SealgateError:
    if status in {404, 410}:
        return KeyNotFoundError(f"there is no key at {url} ({status})")
    if status == 401:
        return UnauthorizedError(f"{url} wants credentials, and none are ever sent for a key", hint="give a file")
    if status == 403:
        return ForbiddenError(f"{url} may not be read (403)", hint="keys are fetched without credentials; give a file")
    if status == 429:
        return ThrottledError(f"{url} answers 429 again and again", hint="try later, or give a file")
    return ServerFailureError(f"{url} answers {status}")
