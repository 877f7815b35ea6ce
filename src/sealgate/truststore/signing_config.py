"""Where to sign: authorities, issuers, logs and timestamp authorities, and which of them to use now.

The document is `signing_config.json` (protobuf-specs, sigstore_trustroot.proto, `SigningConfig` v0.2). It is read as
strictly as a trust root: what it leaves out or contradicts is an error when it is read, not when somebody signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sealgate import limits
from sealgate.errors import ContentError, NoServiceError, ProtocolError, SigningConfigInvalidError
from sealgate.evidence import document
from sealgate.evidence.gojson import protojson
from sealgate.trust import period
from sealgate.trust.period import Period
from sealgate.trust.root import CLIENT_CONFIG

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
SELECTORS = ("ALL", "ANY", "EXACT")

_CLIENT_CONFIG = frozenset({"mediaType", "trustedRoot", "signingConfig"})
_CONFIG = frozenset({"mediaType", "caUrls", "oidcUrls", "rekorTlogUrls", "rekorTlogConfig", "tsaUrls", "tsaConfig"})
_SERVICE = frozenset({"url", "majorApiVersion", "validFor", "operator"})
_SELECTION = frozenset({"selector", "count"})
_VERSION_MOST = 2**32 - 1
"""`uint32`, as counts are."""


class Service(NamedTuple):
    """One service."""

    url: str
    api_version: int
    valid: Period
    operator: str
    """Who runs it: of several services of one operator, one is used."""


class Selection(NamedTuple):
    """How many of the services to use."""

    selector: Literal["ANY", "ALL", "EXACT"]
    count: int = 0  # type: ignore[assignment]  # the name in the document; nobody counts members of this
    """Of EXACT alone: at least one."""


class SigningConfig(NamedTuple):
    """Services of each kind. A kind that has no service is not used; one that has has a selection."""

    authorities: tuple[Service, ...] = ()
    issuers: tuple[Service, ...] = ()
    logs: tuple[Service, ...] = ()
    timestamp_authorities: tuple[Service, ...] = ()
    log_selection: Selection | None = None
    timestamp_selection: Selection | None = None


def parse(raw: bytes) -> SigningConfig:
    """Read a signing configuration, or that in a client's configuration. Raises `SigningConfigInvalidError`."""
    what = "the signing configuration"
    try:
        whole = document.parse(raw, limit=limits.TRUST_ROOT_BYTES, what=what, error=SigningConfigInvalidError)
    except SigningConfigInvalidError:
        raise
    except ContentError as problem:  # it can be read in two ways, or reaches a bound
        raise SigningConfigInvalidError(problem.message) from problem
    if whole.get("mediaType") == CLIENT_CONFIG:
        _known(whole, _CLIENT_CONFIG, "the client's configuration")
        whole = document.as_object(
            whole.get("signingConfig"),
            what="signingConfig of the client's configuration",
            error=SigningConfigInvalidError,
        )
    media_type = whole.get("mediaType")
    if media_type != MEDIA_TYPE:
        raise SigningConfigInvalidError(
            f"{what} is of type {ascii(media_type)[:100]}, which is not read here", hint=f"{MEDIA_TYPE} is"
        )
    _known(whole, _CONFIG, what)
    config = SigningConfig(
        authorities=_services(whole, "caUrls"),
        issuers=_services(whole, "oidcUrls"),
        logs=_services(whole, "rekorTlogUrls"),
        timestamp_authorities=_services(whole, "tsaUrls"),
        log_selection=_selection(whole, "rekorTlogConfig"),
        timestamp_selection=_selection(whole, "tsaConfig"),
    )
    for services, selection, names in (
        (config.logs, config.log_selection, ("rekorTlogUrls", "rekorTlogConfig")),
        (config.timestamp_authorities, config.timestamp_selection, ("tsaUrls", "tsaConfig")),
    ):
        if services and selection is None:
            raise SigningConfigInvalidError(f"{names[1]} does not say how many of {names[0]} to use: ANY, ALL or EXACT")
    return config


def encode(config: SigningConfig) -> bytes:
    """The document byte for byte as cosign 3.1.1 writes it."""
    written = {
        "mediaType": MEDIA_TYPE,
        "caUrls": [_service_document(service) for service in config.authorities],
        "oidcUrls": [_service_document(service) for service in config.issuers],
        "rekorTlogUrls": [_service_document(service) for service in config.logs],
        "rekorTlogConfig": _selection_document(config.log_selection),
        "tsaUrls": [_service_document(service) for service in config.timestamp_authorities],
        "tsaConfig": _selection_document(config.timestamp_selection),
    }
    return protojson({name: value for name, value in written.items() if value != []}).encode("utf-8")


def select(
    services: Sequence[Service],
    selection: Selection | None,
    *,
    versions: Sequence[int],
    now: float,
    what: str = "service",
) -> tuple[Service, ...]:
    """The services to use now, newest first; none of none. `what` names their kind in errors.

    Valid now; of the highest of `versions` that one of them has, and of no other; of each operator the newest. ANY is the
    newest of these. Raises `NoServiceError` where that is nobody, or less than EXACT asks for.
    """
    if not services:
        return ()
    if selection is None:
        raise NoServiceError(f"the signing configuration does not say how many of its {len(services)} {what}s to use")
    found: dict[str, Service] = {}
    for service in _usable(services, versions, now, what):
        found.setdefault(service.operator, service)
    chosen = tuple(found.values())
    if selection.selector == "ALL":
        return chosen
    if selection.selector == "ANY":
        return chosen[:1]
    if not 1 <= selection.count <= len(chosen):
        raise NoServiceError(
            f"the signing configuration asks for exactly {selection.count} {what}s, and {len(chosen)} can be used now",
            hint="services of one operator count once",
        )
    return chosen[: selection.count]


def select_one(services: Sequence[Service], *, versions: Sequence[int], now: float, what: str = "service") -> Service:
    """The service to use now, of a kind of which one is used (authorities, issuers). Raises `NoServiceError`."""
    if not services:
        raise NoServiceError(f"the signing configuration names no {what}")
    return _usable(services, versions, now, what)[0]


def _usable(services: Sequence[Service], versions: Sequence[int], now: float, what: str) -> list[Service]:
    """Those of the highest version that can be used now, newest first; at least one."""
    valid = [service for service in services if service.valid.contains(now)]
    if not valid:
        raise NoServiceError(
            f"the signing configuration names no {what} that is in use now",
            hint="is the clock right? Else it is out of date",
        )
    known = {service.api_version for service in valid} & set(versions)
    if not known:
        spoken = ", ".join(str(version) for version in sorted(versions))
        raise NoServiceError(
            f"the signing configuration names no {what} of a version of its interface that is spoken here ({spoken})"
        )
    best = [service for service in valid if service.api_version == max(known)]
    return sorted(best, key=_start, reverse=True)


def _start(service: Service) -> float:
    return float("-inf") if service.valid.start is None else service.valid.start


# -- reading and writing


def _services(whole: dict[str, Any], name: str) -> tuple[Service, ...]:
    values = document.as_list(whole.get(name, []), what=name, error=SigningConfigInvalidError)
    if len(values) > limits.TRUST_ROOT_ENTRIES:
        raise SigningConfigInvalidError(f"the signing configuration has more than {limits.TRUST_ROOT_ENTRIES} {name}")
    return tuple(_service(value, f"{name}[{at}]") for at, value in enumerate(values))


def _service(value: object, place: str) -> Service:
    whole = document.as_object(value, what=place, error=SigningConfigInvalidError)
    _known(whole, _SERVICE, place)
    operator = whole.get("operator", "")
    if not isinstance(operator, str) or len(operator) > limits.TRUST_ROOT_TEXT:
        raise SigningConfigInvalidError(f"{place}.operator is not a name")
    return Service(
        check_url(whole.get("url"), f"{place}.url"),
        _number(whole.get("majorApiVersion"), f"{place}.majorApiVersion"),
        period.from_document(whole.get("validFor", {}), what=f"{place}.validFor", error=SigningConfigInvalidError),
        operator,
    )


def check_url(value: object, place: str) -> str:
    """`value`, if it is the address of a service. Raises `SigningConfigInvalidError`, naming `place`."""
    from sealgate.transport.url import parse_url

    if not isinstance(value, str) or len(value) > limits.TRUST_ROOT_TEXT:
        raise SigningConfigInvalidError(f"{place} is not an address")
    try:
        parse_url(value)
    except ProtocolError as problem:
        raise SigningConfigInvalidError(f"{place}: {problem.message}") from problem
    return value


def _number(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _VERSION_MOST:
        raise SigningConfigInvalidError(f"{place} is not a number from 1 on")
    return value


def _selection(whole: dict[str, Any], name: str) -> Selection | None:
    held = document.as_object(whole.get(name, {}), what=name, error=SigningConfigInvalidError)
    _known(held, _SELECTION, name)
    selector = held.get("selector")
    if selector == "EXACT":
        return Selection("EXACT", _number(held.get("count"), f"{name}.count"))
    if "count" in held:
        raise SigningConfigInvalidError(f"{name} has a count, which goes with EXACT alone")
    if selector in (None, "SERVICE_SELECTOR_UNDEFINED"):
        return None
    for known in ("ANY", "ALL"):
        if selector == known:
            return Selection("ANY" if known == "ANY" else "ALL")
    raise SigningConfigInvalidError(f"{name}.selector is not one of {', '.join(SELECTORS)}")


def _known(whole: dict[str, Any], names: frozenset[str], place: str) -> None:
    document.known_only(whole, names, what=place, error=SigningConfigInvalidError)


def _service_document(service: Service) -> dict[str, Any]:
    written = {
        "url": service.url,
        "majorApiVersion": service.api_version,
        "validFor": period.as_document(service.valid),
        "operator": service.operator,
    }
    return {name: value for name, value in written.items() if value}


def _selection_document(selection: Selection | None) -> dict[str, Any]:
    if selection is None:
        return {}
    return {"selector": selection.selector} | ({"count": selection.count} if selection.selector == "EXACT" else {})
