"""One question to a service that gives credentials: asked with patience, read within bounds, and how it fails.

Only three things are ever shown of an answer: its status, and the words of its error if they are of an alphabet that no
token is written in. What is sent goes to the address that a provider chose, never through a redirect.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from sealgate import limits, strictjson
from sealgate.errors import (
    ContentError,
    CredentialsRefusedError,
    CredentialsUnavailableError,
    UnavailableError,
    UnreachableError,
)
from sealgate.transport import flow
from sealgate.transport.message import Request, Response, Url

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_PAUSE = 0.2
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_WORD = re.compile("[A-Za-z][A-Za-z_.]{2,63}")
"""Codes of errors (`AccessDeniedException`, `invalid_grant`): too short and too plain for a token."""
_SECRET = re.compile("[!-~]+")


class Service(NamedTuple):
    """A service that gives credentials, or says who somebody is."""

    name: str
    """For people, with an article."""
    url: Url
    own: bool = False
    """The machine's own metadata service: at a link-local address, by plain http, asked quickly and never through a proxy."""
    hint: str = "is it reachable from here?"

    def __str__(self) -> str:
        return f"{self.name} ({self.url.authority})"

    def invalid(self, why: str) -> CredentialsUnavailableError:
        """The error for an answer that is not what was asked for."""
        return CredentialsUnavailableError(f"{self} {why}")


async def ask(
    service: Service, method: str, *, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"", attempts: int = 0
) -> Response:
    """A 2xx answer. Throttled and failing services are asked again. Raises the errors of this room."""
    request = Request(
        method, service.url, headers, body, limits.EXCHANGE_BODY_BYTES,
        # A service's name may lead into a private network (an endpoint of one's own there), never to the machine itself.
        addresses="any" if service.own else "not-local",
        seconds=limits.METADATA_SECONDS if service.own else limits.EXCHANGE_SECONDS, direct=service.own,
    )  # fmt: skip
    pause = _FIRST_PAUSE
    attempts = attempts or limits.ATTEMPTS
    for attempt in range(1, attempts + 1):
        last = attempt == attempts
        try:
            response = await flow.send(request)
        except UnavailableError as error:
            if last or not (isinstance(error, UnreachableError) and error.broken):
                raise CredentialsUnavailableError(
                    f"{service} could not be asked: {error.message}", hint=service.hint
                ) from error
        except ContentError as error:
            raise service.invalid(f"answers with more than {limits.EXCHANGE_BODY_BYTES} bytes") from error
        else:
            if 200 <= response.status < 300:
                return response
            if last or not _is_busy(response):
                raise _failed(service, response)
        await flow.sleep(pause)
        pause *= 2
    raise AssertionError  # pragma: no cover - the loop returns or raises


async def ask_form(service: Service, fields: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object that a form (RFC 6749) is answered with."""
    body = urlencode(fields).encode("ascii")
    return document(service, await ask(service, "POST", headers=(_FORM, ("Accept", "application/json")), body=body))


def document(service: Service, response: Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises `CredentialsUnavailableError`, which shows nothing of it."""
    try:
        return strictjson.parse_object(response.body, limit=limits.EXCHANGE_BODY_BYTES, what="an answer")
    except ContentError:
        raise service.invalid("gives an answer that cannot be read") from None


def secret(service: Service, answer: Mapping[str, Any], name: str) -> str:
    """A token of an answer, which can be sent as it is. Raises `CredentialsUnavailableError`."""
    found = answer.get(name)
    if not isinstance(found, str) or _SECRET.fullmatch(found) is None:
        raise service.invalid(f"gives an answer without '{name}'")
    return found


def seconds(service: Service, answer: Mapping[str, Any], name: str) -> float:
    """How long something lives, as a number or as digits. Raises `CredentialsUnavailableError`."""
    found = answer.get(name)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 1e10:
        raise service.invalid(f"does not say how long its answer holds ('{name}')")
    return float(found)


def _failed(service: Service, response: Response) -> CredentialsUnavailableError:
    status = response.status
    words = _words(response)
    if _is_busy(response) or status >= 500:
        return CredentialsUnavailableError(f"{service} answers {status}{words}", hint="try again later")
    if status < 400:
        return service.invalid(f"answers {status}, which leads elsewhere: nothing is sent there")
    return CredentialsRefusedError(f"{service} refuses ({status}){words}", hint=service.hint)


def _is_busy(response: Response) -> bool:
    """Whether it is worth another try. Amazon says 400 to whom it throttles."""
    return response.status in _TRY_AGAIN or (response.status == 400 and "Throttling" in _words(response))


def _words(response: Response) -> str:
    """The code of an error, in JSON of AWS, Google or Azure, or in the XML of STS."""
    try:
        found = strictjson.parse_object(response.body, limit=limits.EXCHANGE_BODY_BYTES, what="an error")
    except ContentError:
        matched = re.search(rb"<Code>([A-Za-z_.]{3,64})</Code>", response.body)
        return f": {matched[1].decode()}" if matched else ""
    for name in ("__type", "code", "error"):
        word = found.get(name)
        if isinstance(word, dict):
            word = word.get("status")
        if isinstance(word, str) and _WORD.fullmatch(word := word.rpartition("#")[2]):
            return f": {word}"
    return ""
