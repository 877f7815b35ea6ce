"""Keys and certificates in PEM files as parts of a trust root."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Literal

from sealgate.errors import KeyMalformedError, KeyMaterialError
from sealgate.keys.algorithms import PublicKey
from sealgate.trust import certificates
from sealgate.trust.period import ALWAYS, Period
from sealgate.trust.root import Authority, Log, key_details, note_key_id

if TYPE_CHECKING:
    from cryptography import x509

_ORGANIZATION = "2.5.4.10"
_COMMON_NAME = "2.5.4.3"


def key_alone(pem: bytes, *, what: str) -> Log:
    """A log of which nothing but the key is known. Raises `KeyMaterialError`s."""
    key = PublicKey.from_pem(pem, what=what)
    return Log(f"the log of {what}", key, key_details(key), ALWAYS, hashlib.sha256(key.spki).digest())


def log(pem: bytes, *, url: str, valid: Period, origin: str | None, what: str) -> Log:
    """A log; `origin`: the name under which it signs checkpoints (Rekor v2). Raises `KeyMaterialError`s."""
    key = PublicKey.from_pem(pem, what=what)
    log_id = hashlib.sha256(key.spki).digest() if origin is None else note_key_id(origin, key)
    return Log(url, key, key_details(key), valid, log_id)


def pool(pem: bytes, *, what: str) -> tuple[Authority, ...]:
    """Authorities of a file with roots and the intermediates below them, in any order, as cosign reads it."""
    found = certificates.certificates_from_pem(pem, what=what)
    issued_by_itself = [der for der in found if _is_self_issued(der)]
    below = tuple(der for der in found if not _is_self_issued(der))
    if not issued_by_itself:  # an intermediate may be an anchor too
        return tuple(_authority((der,), ALWAYS, "") for der in found)
    return tuple(_authority((*below, der), ALWAYS, "") for der in issued_by_itself)


def chain(pem: bytes, *, what: str) -> Authority:
    """An authority of a file with its certificates in order, the anchor last."""
    return authority(pem, kind="any", url="", valid=ALWAYS, what=what)


def authority(
    pem: bytes, *, kind: Literal["any", "signer", "timestamp"], url: str, valid: Period, what: str
) -> Authority:
    """An authority of a file with its certificates in order, the anchor last.

    Without a start, `valid` begins with the anchor's certificate (`signer`) or that of who signs timestamps (`timestamp`), as
    cosign's does. Raises `KeyMaterialError`s, also for certificates that are not in order.
    """
    found = certificates.certificates_from_pem(pem, what=what)
    read = [_load(der) for der in found]
    for at, (one, above) in enumerate(itertools.pairwise(read), start=1):
        if one.issuer != above.subject:
            raise KeyMaterialError(
                f"{what} is not in order: certificate {at} was not issued by certificate {at + 1}",
                hint="an intermediate first, the root last; of a timestamp authority, who signs timestamps first",
            )
    if kind == "timestamp" and _is_authority(read[0]):
        raise KeyMaterialError(
            f"{what} does not begin with the certificate that signs timestamps, but with an authority's",
            hint="who signs timestamps first, the root last",
        )
    if valid.start is None and kind != "any":
        begin = read[-1] if kind == "signer" else read[0]
        valid = valid._replace(start=begin.not_valid_before_utc.timestamp())
    return _authority(found, valid, url)


def _authority(found: tuple[bytes, ...], valid: Period, url: str) -> Authority:
    subject = _load(found[-1]).subject
    names = {
        attribute.oid.dotted_string: str(attribute.value)
        for attribute in reversed(list(subject))  # of several the first, as Go reads them
    }
    return Authority(found, valid, url, names.get(_ORGANIZATION, ""), names.get(_COMMON_NAME, ""))


def _load(der: bytes) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise KeyMalformedError("not a certificate") from error


def _is_self_issued(der: bytes) -> bool:
    certificate = _load(der)
    return certificate.issuer == certificate.subject


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False
