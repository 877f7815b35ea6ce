"""Timestamp tokens, read: the response (RFC 3161, section 2.4.2), the CMS around it (RFC 5652, section 5) and TSTInfo.

Strict DER, the one form that these standards ask for here: one signer, named by issuer and serial number, signed
attributes, nothing behind the end. What is read is not believed: `timestamps` judges it.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from typing import NamedTuple

from sealgate import limits
from sealgate.trust.failure import TrustFailure

SEQUENCE, SET, INTEGER, BOOLEAN, OCTETS, OID, TIME = 0x30, 0x31, 0x02, 0x01, 0x04, 0x06, 0x18
_CONTEXT_0, _CONTEXT_1 = 0xA0, 0xA1

# Object identifiers, as their content in DER.
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_SIGNING_CERTIFICATE = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")


def _algorithms(names: dict[str, str]) -> dict[bytes, str]:
    """AlgorithmIdentifiers in DER (RFC 5280, section 4.1.1.2), without parameters and with NULL, to names."""
    found = {}
    for identifier, name in names.items():
        oid = bytes.fromhex(identifier)
        for parameters in (b"", b"\x05\x00"):
            content = bytes([OID, len(oid)]) + oid + parameters
            found[bytes([SEQUENCE, len(content)]) + content] = name
    return found


_HASHES = _algorithms({
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
})  # fmt: skip
"""No SHA-1: a timestamp over one proves nothing about what was hashed."""
_SCHEMES = _algorithms({
    "2a8648ce3d040302": "ecdsa sha256",
    "2a8648ce3d040303": "ecdsa sha384",
    "2a8648ce3d040304": "ecdsa sha512",
    "2a864886f70d01010b": "rsa sha256",
    "2a864886f70d01010c": "rsa sha384",
    "2a864886f70d01010d": "rsa sha512",
    "2a864886f70d010101": "rsa ",
    "2b6570": "ed25519 ",
})  # fmt: skip
"""Of signatures: family and hash. No hash: the digest algorithm of the signer (RFC 3370, section 3.2), or none."""
_TIME = re.compile(rb"[0-9]{14}(?:\.[0-9]{0,8}[1-9])?Z")


class Element(NamedTuple):
    """One element of DER."""

    tag: int
    content: bytes
    raw: bytes
    """With its tag and length."""


class Token(NamedTuple):
    """What a granted response says, and what is signed of it."""

    imprint_hash: str | None
    """`sha256`, `sha384`, `sha512`; None: another."""
    imprint: bytes
    time: float
    issuer: bytes
    """Of the signer's certificate, DER; with `serial`, which certificate it is."""
    serial: bytes
    """Content of the INTEGER."""
    scheme: tuple[str, str]
    """Family and hash of the signature."""
    covered: bytes
    """What the signature is over: the signed attributes."""
    signature: bytes
    certificate_hash: tuple[str, bytes]
    """The signer's certificate, hashed (RFC 5816; with SHA-1, RFC 2634)."""
    certificates: tuple[bytes, ...]
    """That came along, DER, in any order."""


def read(response: bytes) -> Token:
    """Read a response. Raises `TrustFailure`: `timestamp-malformed`, or `timestamp-invalid` where it contradicts itself."""
    if len(response) > limits.TIMESTAMP_BYTES:
        raise malformed(f"is larger than {limits.TIMESTAMP_BYTES} bytes")
    status, *token = _children(_whole(response, SEQUENCE), SEQUENCE, 1)
    granted = _first(status, SEQUENCE)
    if granted.tag != INTEGER or len(granted.content) != 1:
        raise malformed("has no status")
    if granted.content[0] > 1:  # granted, grantedWithMods
        raise invalid(f"says that none was granted (status {granted.content[0]})")
    if len(token) != 1:
        raise malformed("has no token")
    return _signed_data(_explicit(token[0], _SIGNED_DATA))


def _signed_data(data: Element) -> Token:
    """SignedData."""
    version, algorithms, content, *rest = _children(data, SEQUENCE, 4)
    _of(version, INTEGER)
    _of(algorithms, SET)
    certificates: tuple[bytes, ...] = ()
    if rest and rest[0].tag == _CONTEXT_0:
        certificates = tuple(each.raw for each in children(rest[0]) if each.tag == SEQUENCE)
        rest = rest[1:]
    if rest and rest[0].tag == _CONTEXT_1:  # revocation lists: nobody here looks at them
        rest = rest[1:]
    if len(rest) != 1:
        raise malformed("is no SignedData")
    info = _of(_explicit(content, _TST_INFO), OCTETS).content
    signers = children(_of(rest[0], SET))
    if len(signers) != 1:
        raise malformed(f"has {len(signers)} signers; one is expected")
    return _signer(signers[0], info, certificates)


def _signer(signer: Element, info: bytes, certificates: tuple[bytes, ...]) -> Token:
    """SignerInfo: the attributes must be about this TSTInfo, since only they are signed."""
    version, name, algorithm, attributes, scheme, signature, *rest = _children(signer, SEQUENCE, 6)
    if len(rest) > 1 or any(each.tag != _CONTEXT_1 for each in rest):  # attributes that are not signed say nothing
        raise malformed("has other parts than a timestamp")
    _of(version, INTEGER)
    issuer, serial = _children(name, SEQUENCE, 2, exactly=True)
    hash_name = _HASHES.get(algorithm.raw)
    if hash_name is None:
        raise invalid("is signed with a hash that is not accepted")
    family, _, signed_hash = _SCHEMES.get(scheme.raw, "").partition(" ")
    if not family:
        raise invalid("is signed with an algorithm that is not accepted")
    found = _attributes(_of(attributes, _CONTEXT_0))
    kind = found.get(_CONTENT_TYPE)
    if kind is None or _of(kind, OID).content != _TST_INFO:
        raise invalid("is signed as something else than a timestamp")
    digest = found.get(_MESSAGE_DIGEST)
    if digest is None or _of(digest, OCTETS).content != hashlib.new(hash_name, info).digest():
        raise invalid("was altered: what is signed is about another content")
    hashed, imprint, at = _info(info)
    return Token(
        hashed, imprint, at, _of(issuer, SEQUENCE).raw, _of(serial, INTEGER).content,
        (family, signed_hash or hash_name), b"\x31" + attributes.raw[1:], _of(signature, OCTETS).content,
        _certificate_hash(found), certificates,
    )  # fmt: skip


def _attributes(whole: Element) -> dict[bytes, Element]:
    """The attributes that have one value, each at most once (RFC 5652, section 11)."""
    found: dict[bytes, Element] = {}
    for attribute in children(whole):
        kind, values = _children(attribute, SEQUENCE, 2, exactly=True)
        name, single = _of(kind, OID).content, children(_of(values, SET))
        if name in found:
            raise malformed("has a signed attribute twice")
        if len(single) == 1:
            found[name] = single[0]
    return found


def _certificate_hash(attributes: dict[bytes, Element]) -> tuple[str, bytes]:
    """Of ESSCertIDv2 or ESSCertID, one of which a token must have (RFC 3161, section 2.4.2; RFC 5816)."""
    second, first = attributes.get(_SIGNING_CERTIFICATE_V2), attributes.get(_SIGNING_CERTIFICATE)
    found = second or first
    if found is None:
        raise invalid("does not say which certificate signed it")
    named = _first(_first(found, SEQUENCE), SEQUENCE)
    parts = _children(named, SEQUENCE, 1)
    hash_name = "sha256" if second is not None else "sha1"
    if second is not None and parts[0].tag == SEQUENCE:
        hash_name = _HASHES.get(parts[0].raw, "")
        parts = parts[1:]
        if not hash_name or not parts:
            raise invalid("names its certificate with a hash that is not accepted")
    return hash_name, _of(parts[0], OCTETS).content


def _info(data: bytes) -> tuple[str | None, bytes, float]:
    """TSTInfo: the hash, the imprint, the time."""
    version, policy, imprint, serial, at, *rest = _children(_whole(data, SEQUENCE), SEQUENCE, 5)
    if _of(version, INTEGER).content != b"\x01":
        raise malformed("is of another version than 1")
    _of(policy, OID)
    _of(serial, INTEGER)
    algorithm, digest = _children(imprint, SEQUENCE, 2, exactly=True)
    if rest and rest[-1].tag == _CONTEXT_1:
        for extension in children(rest[-1]):
            if any(each.tag == BOOLEAN and each.content != b"\x00" for each in _children(extension, SEQUENCE, 2)):
                raise invalid("has a critical extension, and none is known here")
    return _HASHES.get(algorithm.raw), _of(digest, OCTETS).content, _time(_of(at, TIME).content)


def _time(text: bytes) -> float:
    """GeneralizedTime in UTC, fractions without zeros at the end (RFC 3161, section 2.4.2)."""
    if not _TIME.fullmatch(text):
        raise malformed("has no time")
    try:
        year, *rest = int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))
        month, day, hour, minute, second = rest
        whole = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        raise malformed("has a time that does not exist") from None
    return whole.timestamp() + float(b"0" + text[14:-1] if text[14:-1] else 0)


def _explicit(element: Element, kind: bytes) -> Element:
    """The content of a ContentInfo, or of an EncapsulatedContentInfo, of that kind."""
    name, content = _children(element, SEQUENCE, 2, exactly=True)
    if _of(name, OID).content != kind:
        raise malformed("is no token of a timestamp")
    [inner] = _children(content, _CONTEXT_0, 1, exactly=True)
    return inner


# -- DER (X.690, section 10), as much of it as is needed


def children(element: Element) -> list[Element]:
    """The elements inside. Raises `TrustFailure` (`timestamp-malformed`) for what is not DER."""
    data, found, at = element.content, [], 0
    end = len(data)
    while at < end:
        start, tag = at, data[at]
        size = data[at + 1] if at + 1 < end else 0x80
        at += 2
        if size >= 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
            if not 1 <= count <= 4 or size < 0x80 or size >> 8 * (count - 1) == 0:
                raise malformed("is not DER")
        if tag & 0x1F == 0x1F or at + size > end:
            raise malformed("is not DER")
        found.append(Element(tag, data[at : at + size], data[start : at + size]))
        at += size
    return found


def _whole(data: bytes, tag: int) -> Element:
    elements = children(Element(0, data, data))
    if len(elements) != 1:
        raise malformed("is not DER, or has something behind its end")
    return _of(elements[0], tag)


def _children(element: Element, tag: int, least: int, *, exactly: bool = False) -> list[Element]:
    found = children(_of(element, tag))
    if len(found) < least or (exactly and len(found) != least):
        raise malformed("has other parts than a timestamp")
    return found


def _first(element: Element, tag: int) -> Element:
    return _children(element, tag, 1)[0]


def _of(element: Element, tag: int) -> Element:
    if element.tag != tag:
        raise malformed("has other parts than a timestamp")
    return element


def malformed(message: str) -> TrustFailure:
    """A response that is none."""
    return TrustFailure("timestamp-malformed", f"its timestamp {message}")


def invalid(message: str) -> TrustFailure:
    """A response that says nothing, or is not what its authority signed."""
    return TrustFailure("timestamp-invalid", f"its timestamp {message}")
