"""One HTTP service that takes part in signing: asked with patience and within bounds, and how it fails, with its own codes.

What it gets may hold an identity token, which never comes back out: not in an error, whatever the service answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import (
    ContentError,
    LimitError,
    ProtocolError,
    SealgateError,
    SigningError,
    UnavailableError,
    UnreachableError,
    UsageError,
)
from sealgate.transport import flow
from sealgate.transport.message import Request, Response, Tls, Url

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.25


class Kind(NamedTuple):
    """What a service is called, and its errors."""

    name: str
    """For people, with an article."""
    unavailable: type[UnavailableError]
    """It could not be asked, or did not come to an answer."""
    refused: type[SigningError]
    """It answered, and does not do it."""
    invalid: type[SealgateError]
    """It answered, and not with what was asked for."""


class Service(NamedTuple):
    """A service at an address."""

    kind: Kind
    url: Url
    """Without a `/` at its end."""
    tls: Tls = Tls()

    def __str__(self) -> str:
        """For messages."""
        return f"{self.kind.name} {self.url}"

    def below(self, path: str) -> Url:
        """The address of `path`, which begins with `/`."""
        return self.url._replace(target=f"{self.url.target.rstrip('/')}{path}")

    def invalid(self, what: str) -> SealgateError:
        """The error for an answer that is not what was asked for."""
        return self.kind.invalid(f"{self} {what}", hint="nothing was published")


def address(text: str, *, what: str) -> Url:
    """The address of a service as people give it: https unless it says http. Raises `UsageError`."""
    from sealgate.transport.url import parse_url

    try:
        url = parse_url(text if "://" in text else f"https://{text}")
    except ProtocolError as error:
        raise UsageError(f"{what} is no address of a service: {error.message.partition(': ')[2]}") from error
    if "?" in url.target:
        raise UsageError(f"{what} is no address of a service: it has a query")
    return url._replace(target=url.target.rstrip("/") or "/")


async def ask(
    service: Service,
    method: str,
    url: Url,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    secrets: Collection[str] = (),
    answers: Collection[int] = (),
    limit: int = limits.SERVICE_BODY_BYTES,
) -> Response:
    """The answer: a 2xx, or one of the statuses `answers`. `secrets` are in no error.

    Throttled and failing services (429, 5xx, a cut connection) are asked again, `limits.ATTEMPTS` times in all. Raises the
    errors of the service's kind.
    """
    request = Request(method, url, headers, body, limit, tls=service.tls, seconds=limits.READ_SECONDS)
    pause = _FIRST_PAUSE
    for attempt in range(1, limits.ATTEMPTS + 1):
        last = attempt == limits.ATTEMPTS
        try:
            response = await flow.send(request)
        except LimitError as error:
            raise service.invalid(f"answers with more than {limit} bytes") from error
        except UnreachableError as error:
            if not error.broken or last:
                raise _unavailable(service, error.message) from error
            await flow.sleep(pause)
        except UnavailableError as error:
            raise _unavailable(service, error.message) from error
        else:
            status = response.status
            if 200 <= status < 300 or status in answers:
                return response
            if status not in _TRY_AGAIN or last:
                raise _failed(service, response, secrets)
            await flow.sleep(_pause(service, response, pause))
        pause *= 2
    raise AssertionError  # pragma: no cover - the loop returns or raises


def document(service: Service, response: Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises the kind's `invalid`."""
    from sealgate import strictjson

    try:
        return strictjson.parse_object(response.body, limit=limits.SERVICE_BODY_BYTES, what="its answer")
    except ContentError as error:
        raise service.invalid(f"gives an answer that cannot be read: {error.message}") from error


def _failed(service: Service, response: Response, secrets: Collection[str]) -> SealgateError:
    status = response.status
    words = _words(response, secrets)
    if status in _TRY_AGAIN:
        error = f"answers {status}, also after {limits.ATTEMPTS} tries{words}"
        return service.kind.unavailable(f"{service} {error}", hint="try again later")
    if status >= 500:
        return service.kind.unavailable(f"{service} answers {status}{words}", hint="try again later")
    if 300 <= status < 400:
        return service.kind.unavailable(
            f"{service} redirects elsewhere ({status}), where nothing is sent", hint="give the address it now has"
        )
    if status == 404:
        return service.kind.refused(f"{service} answers 404{words}", hint="is this the address of the service?")
    return service.kind.refused(f"{service} refuses ({status}){words}")


def _unavailable(service: Service, why: str) -> UnavailableError:
    return service.kind.unavailable(
        f"{service} could not be asked: {why}", hint="is it running, and reachable from here?"
    )


def _pause(service: Service, response: Response, otherwise: float) -> float:
    """Seconds until the next try: Retry-After (RFC 9110, section 10.2.3; seconds) or our own back-off."""
    text = response.header("retry-after") or ""
    if not text.isascii() or not text.isdigit():
        return otherwise
    seconds = float(text[:9])
    if seconds > limits.RETRY_AFTER_SECONDS:
        raise service.kind.unavailable(
            f"{service} answers {response.status} and asks to come back in {text[:9]} s", hint="try again later"
        )
    return max(seconds, otherwise)


def _words(response: Response, secrets: Collection[str]) -> str:
    """The service's own words, bounded: `: message`; none when they repeat a secret."""
    from sealgate import strictjson

    try:
        found = strictjson.parse_object(response.body, limit=limits.SMALL_BODY_BYTES, what="an error")
    except ContentError:
        return ""
    for name in ("error_description", "message", "error"):
        words = found.get(name)
        if isinstance(words, str) and words:
            # A part of a token, or of a secret, is as bad as all of it.
            parts = [part for secret in secrets for part in (secret, *secret.split(".")) if len(part) > 3]
            return "" if any(part in words for part in parts) else f": {words[: limits.TEXT_CHARS]}"
    return ""
