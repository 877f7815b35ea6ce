"""The functions of CEL that Kyverno's image policies have, beside the standard ones. They reach nothing but what is given.

Those about images read a table that was made by the verification; each look at it is noted, and given back to who made it.

Source: Kyverno, pkg/cel/compiler/env.go and pkg/cel/libs: imageverify, image, hash, json, yaml, gzip, time, math, transform,
user, x509; cel-go, ext: Lists, Sets; Kubernetes, apiserver/pkg/cel/library: lists, regex, urls, quantity, semverlib, ip, cidr.
"""

from __future__ import annotations

import datetime
from typing import Any

from sealgate import limits, pairing, regexp
from sealgate.conditions import cellists, celvalues

_SECOND = datetime.timedelta(seconds=1)


class Table:
    """What the parent has verified, for one question."""

    def __init__(self) -> None:
        self._rows: dict[str, Any] = {}
        self._calls: dict[tuple[str, str, str], None] = {}
        self.turn = 0
        """Which of several attestations `extractPayload` gives."""
        self.now = 0.0

    def begin(self, rows: dict[str, Any], now: float) -> None:
        """Another question."""
        self._rows, self._calls, self.turn, self.now = rows, {}, 0, now

    def rounds(self) -> int:
        """How often the validations have to be asked, until every attestation was looked at."""
        sizes = [len(found) for row in self._rows.values() for found in row["payloads"].values()]
        return max([1, *sizes])

    def calls(self) -> list[list[str]]:
        """Image, attestation (`""`: the signatures), attestor: every row that was looked at."""
        return [list(each) for each in self._calls]

    def _note(self, image: str, attestation: str, attestor: str) -> None:
        self._calls[image, attestation, attestor] = None
        if len(self._calls) > limits.PROGRAM_CALLS:
            raise ValueError(f"more than {limits.PROGRAM_CALLS} looks at signatures")

    def count(self, image: object, attestation: object, attestors: object) -> int:
        """How many of these attestors have signed, each by a signer of its own (invariant 7)."""
        image, attestation = (
            _text(image, "the image"),
            "" if attestation is None else _text(attestation, "the attestation"),
        )
        if not isinstance(attestors, list):
            raise ValueError("the attestors are no list")  # noqa: TRY004 - the engine makes its errors of ValueErrors
        names = dict.fromkeys(_attestor(each) for each in attestors)
        row = self._rows.get(image)
        if row is None:
            return 0
        places = row["signatures"] if not attestation else row["attestations"].get(attestation)
        if places is None:
            raise ValueError(f"the policy has no attestation {attestation!r}")
        signers = []
        for name in names:
            if name not in places:
                raise ValueError(f"the policy has no attestor {name!r}")
            self._note(image, attestation, name)
            signers.append(places[name])
        return pairing.most(signers)

    def payload(self, image: object, attestation: object) -> Any:
        """What an attestation says that was verified."""
        image, attestation = _text(image, "the image"), _text(attestation, "the attestation")
        row = self._rows.get(image)
        if row is None or attestation not in row["payloads"]:
            raise ValueError(f"{image} is no image of this policy, or {attestation} no attestation")
        found = row["payloads"][attestation]
        if not found:
            raise ValueError(f"no attestation {attestation} of {image} was verified")
        return found[min(self.turn, len(found) - 1)]

    def data(self, image: object) -> Any:
        """What is known of an image's manifest and configuration."""
        image = _text(image, "the image")
        row = self._rows.get(image)
        if row is None or row.get("data") is None:
            raise ValueError(f"nothing is known of {image}")
        return row["data"]


def functions(cel: Any, table: Table) -> Any:
    """All of them, as an extension of the engine."""
    kind = cel.Type
    text, integer, dyn, boolean = kind.STRING, kind.INT, kind.DYN, kind.BOOL
    declared: list[Any] = []
    number = 0

    def add(name: str, result: Any, parameters: list[Any], function: Any, *, member: bool = False) -> None:
        nonlocal number
        number += 1
        overload = cel.Overload(
            f"sealgate_{number}", return_type=result, parameters=parameters, is_member=member, impl=function
        )
        declared.append(cel.FunctionDecl(name, [overload]))

    add("verifyImageSignatures", integer, [dyn, dyn], lambda image, who: table.count(image, None, who))
    add("verifyAttestationSignatures", integer, [dyn, dyn, dyn], table.count)
    add("extractPayload", dyn, [dyn, dyn], table.payload)
    add("getImageData", dyn, [dyn], table.data)
    for name in ("image", "parseImageReference", "ParseImageRef"):
        add(name, dyn, [text], _image)
    add("isImage", boolean, [text], _is_image)
    for name in ("registry", "repository", "identifier", "tag", "digest"):
        add(name, text, [dyn], lambda image, name=name: _part(image, name), member=True)
    add("identifierWithSeparator", text, [dyn], _with_separator, member=True)
    add("containsDigest", boolean, [dyn], lambda image: bool(_part(image, "digest")), member=True)
    for name in ("md5", "sha1", "sha256", "sha512"):
        add(name, text, [text], lambda value, name=name: _hash(name, value))
    add("unmarshal", dyn, [text, dyn], _unmarshal, member=True)
    add("parse", dyn, [text, dyn], _parse_yaml, member=True)
    add("decode", dyn, [text, dyn], _certificate, member=True)
    add("math.round", kind.DOUBLE, [kind.DOUBLE, integer], _round)
    add("find", text, [text, text], lambda value, pattern: next(iter(_find(value, pattern)), ""), member=True)
    add("findAll", kind.List(text), [text, text], _find, member=True)
    add("time_now", text, [], lambda: _told(_at(table.now)))
    add("time_now_utc", text, [], lambda: _told(_at(table.now)))
    add("time_add", text, [text, text], lambda moment, more: _told(_moment(moment) + _duration(more)))
    add("time_diff", text, [text, text], lambda first, second: _told_duration(_moment(second) - _moment(first)))
    add("time_before", boolean, [text, text], lambda first, second: _moment(first) < _moment(second))
    add("time_after", boolean, [text, text], lambda first, second: _moment(first) > _moment(second))
    add("time_parse", text, [text, text], _parse_time)
    add("now", text, [dyn], lambda _: _told(_at(table.now)), member=True)
    add("gzip.compress", kind.BYTES, [dyn], _compress)
    add("gzip.decompress", text, [kind.BYTES], _decompress)
    add("parseServiceAccount", dyn, [text], _service_account)
    _lists(kind, add)
    _values(kind, add)
    return cel.CelExtension("sealgate", declared)


def _lists(kind: Any, add: Any) -> None:
    """Lists and sets."""
    integer, boolean, dyn, items = kind.INT, kind.BOOL, kind.DYN, kind.List(kind.DYN)
    add("indexOf", integer, [items, dyn], cellists.index_of, member=True)
    add("lastIndexOf", integer, [items, dyn], cellists.last_index_of, member=True)
    add("isSorted", boolean, [items], cellists.is_sorted, member=True)
    for name, function in (("sum", cellists.total), ("min", cellists.least), ("max", cellists.greatest)):
        add(name, dyn, [items], function, member=True)
    for name, listed in (
        ("sort", cellists.ordered), ("reverse", cellists.backwards), ("distinct", cellists.distinct), ("flatten", cellists.flat),
    ):  # fmt: skip
        add(name, items, [items], listed, member=True)
    add("flatten", items, [items, integer], cellists.flat, member=True)
    add("slice", items, [items, integer, integer], cellists.part, member=True)
    add("lists.range", kind.List(integer), [integer], cellists.numbers)
    add("sets.contains", boolean, [items, items], cellists.includes)
    add("sets.equivalent", boolean, [items, items], cellists.equivalent)
    add("sets.intersects", boolean, [items, items], cellists.intersects)
    add("listObjToMap", dyn, [items, items, kind.STRING, kind.STRING], cellists.to_map)


def _values(kind: Any, add: Any) -> None:
    """Quantities, versions, addresses and URLs."""
    text, integer, boolean, dyn = kind.STRING, kind.INT, kind.BOOL, kind.DYN
    for name, reader in (
        ("quantity", celvalues.quantity), ("semver", celvalues.semver), ("ip", celvalues.address),
        ("cidr", celvalues.network), ("url", celvalues.url),
    ):  # fmt: skip
        add(name, dyn, [text], reader)
        asked = {"ip": "isIP", "cidr": "isCIDR", "url": "isURL"}.get(name, f"is{name.title()}")
        add(asked, boolean, [text], celvalues.holds(reader))
    add("semver", dyn, [text, boolean], celvalues.semver)
    add("isSemver", boolean, [text, boolean], celvalues.holds(celvalues.semver))
    add("string", text, [kind.Map(text, text)], celvalues.text_of)
    add("ip.isCanonical", boolean, [text], celvalues.is_canonical)
    for name, result, function in (
        ("sign", integer, celvalues.sign), ("isInteger", boolean, celvalues.is_integer),
        ("asInteger", integer, celvalues.as_integer), ("asApproximateFloat", kind.DOUBLE, celvalues.as_float),
        ("family", integer, celvalues.family), ("ip", dyn, celvalues.ip_of), ("masked", dyn, celvalues.masked),
        ("prefixLength", integer, celvalues.prefix_length),
        *((each, integer, celvalues.part_of(at)) for at, each in enumerate(("major", "minor", "patch"))),
        *((each, boolean, celvalues.is_kind(each)) for each in (
            "isUnspecified", "isLoopback", "isLinkLocalUnicast", "isLinkLocalMulticast", "isGlobalUnicast")),
        *((each, text, celvalues.part_of_url(each)) for each in (
            "getScheme", "getHost", "getHostname", "getPort", "getEscapedPath")),
        ("getQuery", dyn, celvalues.part_of_url("getQuery")),
    ):  # fmt: skip
        add(name, result, [dyn], function, member=True)
    for name, result, joined in (
        ("add", dyn, celvalues.add), ("sub", dyn, celvalues.sub), ("compareTo", integer, celvalues.compare),
        ("isLessThan", boolean, lambda one, other: celvalues.compare(one, other) < 0),
        ("isGreaterThan", boolean, lambda one, other: celvalues.compare(one, other) > 0),
        ("containsIP", boolean, celvalues.contains_ip), ("containsCIDR", boolean, celvalues.contains_cidr),
    ):  # fmt: skip
        add(name, result, [dyn, dyn], joined, member=True)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is no text")  # noqa: TRY004 - as above
    return value


def _attestor(value: object) -> str:
    """`attestors.NAME` is an object with its name."""
    return _text(value.get("name") if isinstance(value, dict) else value, "the attestor")


# -- images


def _image(text: str) -> dict[str, str]:
    from sealgate.errors import InvalidReferenceError
    from sealgate.oci.reference import parse

    try:
        reference = parse(text)
    except InvalidReferenceError as error:
        raise ValueError(f"{text[:100]!r} is no image's name") from error
    digest = str(reference.digest) if reference.digest is not None else ""
    tag = reference.tag or ("" if digest else "latest")
    registry, _, repository = reference.name.partition("/")
    return {
        "image": str(reference), "registry": registry, "repository": repository, "identifier": digest or tag, "tag": tag,
        "digest": digest,
    }  # fmt: skip


def _is_image(text: str) -> bool:
    try:
        _image(text)
    except ValueError:
        return False
    return True


def _part(image: object, name: str) -> str:
    found = image.get(name) if isinstance(image, dict) else None
    return _text(found, f"{name}() of what is no image(…)")


def _with_separator(image: object) -> str:
    """`:1.25`, `@sha256:…`, or both."""
    tag, digest = _part(image, "tag"), _part(image, "digest")
    return (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


# -- texts


def _hash(name: str, value: str) -> str:
    import hashlib

    return hashlib.new(name, value.encode(), usedforsecurity=False).hexdigest()


def _unmarshal(library: str, value: object) -> Any:
    from sealgate import strictjson
    from sealgate.errors import SealgateError

    if library != "json":
        raise ValueError("unmarshal is a function of json")
    try:
        return strictjson.parse(_text(value, "it").encode(), limit=limits.CONDITION_DOCUMENT_BYTES, what="the text")
    except SealgateError as error:
        raise ValueError(error.message) from error


def _parse_yaml(library: str, value: object) -> Any:
    from sealgate import strictyaml
    from sealgate.errors import ContentError, SealgateError

    if library != "yaml":
        raise ValueError("parse is a function of yaml")
    raw = _text(value, "it").encode()
    try:
        found = strictyaml.parse(raw, limit=limits.CONDITION_DOCUMENT_BYTES, what="the text", error=ContentError)
    except SealgateError as error:
        raise ValueError(error.message) from error
    if len(found) != 1:
        raise ValueError("the text is not one document")
    return found[0]


def _find(value: str, pattern: str) -> list[str]:
    """RE2, as Go's: linear."""
    return [found.group(0) for found in regexp.compiled(pattern).finditer(value)]


def _compress(value: object) -> bytearray:
    """A text or bytes; the same always gives the same. (Of `bytes` the engine would take what is before the first NUL.)"""
    import gzip

    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError("only texts and bytes are compressed here")  # noqa: TRY004 - as above
    return bytearray(gzip.compress(bytes(value), mtime=0))


def _decompress(value: bytes) -> str:
    """What may be small and grow large: it is bounded."""
    import zlib

    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        found = reader.decompress(bytes(value), limits.CONDITION_DOCUMENT_BYTES)
        if not reader.eof or reader.unused_data:
            raise ValueError("it is not one whole gzip stream, or it is too large")
        return found.decode()
    except zlib.error as error:
        raise ValueError("it is not gzip") from error


def _service_account(user: str) -> dict[str, str]:
    """`system:serviceaccount:NAMESPACE:NAME`; of another user both are empty."""
    namespace, colon, name = user.removeprefix("system:serviceaccount:").partition(":")
    if not user.startswith("system:serviceaccount:") or not colon:
        namespace = name = ""
    return {"Name": name, "Namespace": namespace}


def _round(value: float, digits: int) -> float:
    return round(value, max(-15, min(15, digits)))


def _certificate(library: str, value: object) -> dict[str, Any]:
    """A certificate in PEM, by the names that Go has for its parts."""
    if library != "x509":
        raise ValueError("decode is a function of x509")
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(_text(value, "it").encode())
        return {
            "Subject": _name(found.subject), "Issuer": _name(found.issuer), "SerialNumber": str(found.serial_number),
            "NotBefore": _told(found.not_valid_before_utc), "NotAfter": _told(found.not_valid_after_utc),
            "Version": found.version.value + 1,
        }  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ValueError("it is no certificate in PEM") from error


def _name(name: Any) -> dict[str, Any]:
    from cryptography.x509.oid import NameOID

    def all_of(kind: Any) -> list[str]:
        return [str(each.value) for each in name.get_attributes_for_oid(kind)]

    common = all_of(NameOID.COMMON_NAME)
    return {
        "CommonName": common[0] if common else "", "Organization": all_of(NameOID.ORGANIZATION_NAME),
        "OrganizationalUnit": all_of(NameOID.ORGANIZATIONAL_UNIT_NAME), "Country": all_of(NameOID.COUNTRY_NAME),
    }  # fmt: skip


# -- times (RFC 3339; durations as Go writes them)


def _at(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _told(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is no time of RFC 3339") from error
    if found.tzinfo is None or "T" not in text:
        raise ValueError(f"{text[:60]!r} is no time of RFC 3339")
    return found


def _parse_time(layout: str, text: str) -> str:
    """By RFC 3339, or in seconds since 1970 where the layout is a number."""
    if layout in {"2006-01-02T15:04:05Z07:00", ""}:
        return _told(_moment(text))
    try:
        int(layout)
        return _told(_at(int(text)))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError("layouts other than RFC 3339, and seconds since 1970, are not read") from error


def _duration(text: str) -> datetime.timedelta:
    import re

    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest or len(text) > 40:
        raise ValueError(f"{text[:60]!r} is no duration")
    scale = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return datetime.timedelta(seconds=sign * sum(float(number) * scale[unit] for number, unit in parts))


def _told_duration(found: datetime.timedelta) -> str:
    seconds = found // _SECOND
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{rest}s"
    return f"{sign}{minutes}m{rest}s" if minutes else f"{sign}{rest}s"
