"""What a registry's 401 asks for, and which token service may be asked for it. Pure.

Sources: RFC 9110, section 11.6.1 (WWW-Authenticate); distribution, "Token Authentication Specification". The realm of a
challenge is a URL chosen by the server: `check_realm` decides what may be asked there, and whether credentials go along
(bypass T09).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from sealgate.errors import AddressError, ProtocolError, RealmError, SealgateError, UnauthorizedError
from sealgate.transport import address
from sealgate.transport.message import Addresses, Url
from sealgate.transport.url import parse_url

REALMS_VARIABLE = "SEALGATE_REGISTRY_REALMS"
REALMS_FLAG = "--registry-realm"

_HEADER_CHARS = 8192
_CHALLENGES = 16
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")[ \t]*(?=,|$)'
_BARE = r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)"
_KNOWN_REALMS = {
    "index.docker.io": "auth.docker.io",
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}
"""Token services that are known to belong to a registry on another host."""


class Challenge(NamedTuple):
    """One challenge. Foreign text: nothing of it is used but through `token_url` and `check_realm`."""

    scheme: str
    """Lower case: `basic`, `bearer`, or what else a server may ask for."""
    realm: str | None = None
    service: str | None = None
    scope: str | None = None
    error: str | None = None


def parse(header: str) -> tuple[Challenge, ...]:
    """Every challenge of one WWW-Authenticate header. Raises `ProtocolError` when it is malformed or too long."""
    if len(header) > _HEADER_CHARS or not all(" " <= char <= "~" or char == "\t" for char in header):
        raise ProtocolError("a WWW-Authenticate header is too long, or has characters that no header has")
    found: list[Challenge] = []
    position, end = _skip(header, 0), len(header)
    while position < end:
        matched = re.compile(rf"({_WORD})(?:[ \t]+|(?=,|$))").match(header, position)
        if matched is None or len(found) == _CHALLENGES:
            raise ProtocolError("a WWW-Authenticate header is malformed")
        scheme, position = matched[1].lower(), matched.end()
        parameters: dict[str, str] = {}
        parameter = re.compile(_PARAMETER).match(header, position)
        if parameter is None and (bare := re.compile(_BARE).match(header, position)):
            position = bare.end()
        else:
            while parameter is not None:
                name = parameter[1].lower()
                if name in parameters:
                    raise ProtocolError(f"a WWW-Authenticate header has '{name[:40]}' twice in one challenge")
                quoted = parameter[3]
                parameters[name] = parameter[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                position = _skip(header, parameter.end())
                parameter = re.compile(_PARAMETER).match(header, position)
        position = _skip(header, position)
        found.append(Challenge(scheme, *(parameters.get(name) for name in ("realm", "service", "scope", "error"))))
    return tuple(found)


def choose(headers: Iterable[str], *, what: str) -> Challenge:
    """The challenge to answer among all WWW-Authenticate headers of a 401: Bearer before Basic. `what` names the registry.

    Raises `UnauthorizedError` when there is none that can be answered, `ProtocolError` when they are malformed.
    """
    try:
        challenges = [challenge for header in headers for challenge in parse(header)]
    except ProtocolError as error:
        raise ProtocolError(f"{what}: {error.message}") from error
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    asked = ", ".join(challenge.scheme[:40] for challenge in challenges) or "nothing that it names"
    raise UnauthorizedError(f"{what} wants credentials of a kind that is not spoken here: {asked}")


def token_url(challenge: Challenge, scope: str, *, registry: Url) -> Url:
    """Where to ask for a token of `scope`: `realm?scope=…&service=…`. Raises `RealmError` when there is no usable realm.

    An empty scope asks for a token that allows nothing but `/v2/` itself. Other parameters of the realm's own query are
    kept. The URL still has to pass `check_realm`.
    """
    if not challenge.realm:
        raise RealmError(f"{registry.authority} wants a token, but does not say from where")
    try:
        realm = parse_url(challenge.realm)
    except ProtocolError as error:
        raise RealmError(f"the token service of {registry.authority} cannot be asked: {error.message}") from error
    path, _, query = realm.target.partition("?")
    kept = [
        pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in {"scope", "service"}
    ]
    if scope:
        kept.append(f"scope={quote(scope, safe='')}")
    if challenge.service:
        kept.append(f"service={quote(challenge.service, safe='')}")
    return realm._replace(target=f"{path}?{'&'.join(kept)}" if kept else path)


def check_realm(
    realm: Url, *, registry: Url, has_credentials: bool, trusted: frozenset[str], peer: str = ""
) -> Addresses:
    """Whether the token service at `realm` may be asked on behalf of `registry`; the addresses that its name may lead to.

    `trusted`: hosts (`host[:port]`) that the user configured. `peer`: the address from which the registry answered; with
    it a registry with a public name in a private network is told from one that is public. Raises `RealmError`:

    - http, unless the registry itself is spoken to by http and the realm is the same host and port, or both are loopback;
    - link-local addresses, always; private ones when the registry is public and the user did not name the realm;
    - credentials for a host that is neither the registry's own, nor known to be its token service, nor `trusted`.
    """
    if realm.origin == registry.origin:
        return "any"
    if realm.scheme != "https" and not (
        registry.scheme == "http" and _is_loopback(realm.host) and _is_loopback(registry.host)
    ):
        raise _refused(realm, registry, "it is not asked by https")
    configured = _is_trusted(realm, trusted)
    rule: Addresses = "not-link-local"
    if not configured and realm.host != registry.host and _is_public(registry, peer):
        rule = "public"
        if address.is_private(realm.host):
            raise _refused(realm, registry, "a public registry must not send its clients inward", REALMS_FLAG)
    if address.is_literal(realm.host):
        try:
            address.check(realm.host, rule, realm.host)
        except (AddressError, ValueError) as error:
            hint = None if configured else REALMS_FLAG
            why = error.message if isinstance(error, SealgateError) else "it is no address"
            raise _refused(realm, registry, why, hint) from error
    if has_credentials and not (configured or _is_own(realm, registry) or _is_known(realm, registry)):
        raise _refused(realm, registry, "the credentials would go to another host", REALMS_FLAG)
    return rule


def _refused(realm: Url, registry: Url, why: str, flag: str | None = None) -> RealmError:
    hint = (
        f"if {realm.authority} is its token service: {flag} {realm.authority}, or {REALMS_VARIABLE}" if flag else None
    )
    return RealmError(
        f"{registry.authority} sends its clients to the token service {realm}, which is refused: {why}", hint=hint
    )


def _is_own(realm: Url, registry: Url) -> bool:
    """The registry's own host. Another port is as good by https, but on loopback it may be anybody's."""
    return realm.host == registry.host and (realm.port == registry.port or not _is_loopback(realm.host))


def _is_known(realm: Url, registry: Url) -> bool:
    return (
        realm.scheme == registry.scheme == "https"
        and realm.port == registry.port == 443
        and _KNOWN_REALMS.get(registry.host) == realm.host
    )


def _is_trusted(realm: Url, trusted: frozenset[str]) -> bool:
    with_port = f"{realm.authority}:{realm.port}"
    return any(entry.lower() in {realm.authority, with_port} for entry in trusted)


def _is_public(registry: Url, peer: str) -> bool:
    """Public by its name, unless the address it answered from says otherwise."""
    if address.is_private(registry.host):
        return False
    where = peer or (registry.host if address.is_literal(registry.host) else "")
    return not where or address.is_public(where)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if not address.is_literal(host):
        return False
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _skip(text: str, position: int) -> int:
    """Past white space and empty list elements (RFC 9110, section 5.6.1.2)."""
    while position < len(text) and text[position] in " \t,":
        position += 1
    return position
