"""Signed certificate timestamps: that a certificate was logged in a CT log of the trust root (RFC 6962, section 3).

They stand in the certificate's extension 1.3.6.1.4.1.11129.2.4.2, or come as a file of their own. Each one that comes along
by a log of the root must verify; one by another log proves nothing. One log counts once (bypass C08).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.trust.failure import TrustFailure

if TYPE_CHECKING:
    from sealgate.trust.certificates import Leaf, Path
    from sealgate.trust.root import Log, TrustRoot

_CERTIFICATE, _PRECERTIFICATE = 0, 1
"""LogEntryType."""
_SHA256 = 4
_ALGORITHMS = {(_SHA256, 3): "ecdsa-", (_SHA256, 1): "rsa-pkcs1v15-"}
"""SignatureAndHashAlgorithm (RFC 5246, section 7.4.1.4.1) to the beginning of a scheme; RFC 6962 knows no others."""


class Sct(NamedTuple):
    """One that verified."""

    log: Log
    time: float


class _Sct(NamedTuple):
    """One as it came."""

    log_id: bytes
    milliseconds: int
    extensions: bytes
    algorithm: tuple[int, int]
    signature: bytes


def verify_scts(leaf: Leaf, path: Path, root: TrustRoot, *, detached: tuple[bytes, ...]) -> tuple[Sct, ...]:
    """The SCTs of `leaf` by logs of `root`, one a log and at least one. `detached`: those that came along as files.

    Raises `TrustFailure`.
    """
    embedded = _list(leaf.scts) if leaf.scts is not None else []
    found = [(sct, _PRECERTIFICATE) for sct in embedded] + [(_detached(data), _CERTIFICATE) for data in detached]
    if not found:
        raise TrustFailure("sct-missing", "its certificate has no SCT, so nothing says that it was logged")
    if len(found) > limits.SCTS:
        raise TrustFailure("sct-invalid", f"its certificate has {len(found)} SCTs; at most {limits.SCTS} are looked at")
    verified: dict[bytes, Sct] = {}
    entries: dict[int, bytes] = {}
    retired = None
    for sct, kind in found:
        log, known = _log(root, sct)
        if log is None:
            retired = known or retired
            continue
        if kind not in entries:
            entries[kind] = _entry(kind, leaf, path)
        _verify(sct, log, entries[kind])
        verified.setdefault(sct.log_id, Sct(log, sct.milliseconds / 1000))
    if not verified:
        message = "its certificate was logged by nobody who is believed in"
        if retired is not None:
            message = f"its certificate was logged by {retired.base_url} when that log's key was not in use"
        raise TrustFailure("sct-untrusted", message)
    return tuple(verified.values())


def _log(root: TrustRoot, sct: _Sct) -> tuple[Log | None, Log | None]:
    """The log that made it, if its key was in use then; and the log, whenever it was in use."""
    known = None
    for log in root.ct_logs:
        if log.log_id == sct.log_id:
            known = log
            if log.valid.contains(sct.milliseconds / 1000):
                return log, log
    return None, known


def _entry(kind: int, leaf: Leaf, path: Path) -> bytes:
    """What was logged, with its type (section 3.2): the certificate, or what was to become it."""
    if kind == _CERTIFICATE:
        return kind.to_bytes(2, "big") + len(leaf.der).to_bytes(3, "big") + leaf.der
    tbs = leaf.certificate.tbs_precertificate_bytes
    return kind.to_bytes(2, "big") + hashlib.sha256(path.issuer_spki).digest() + len(tbs).to_bytes(3, "big") + tbs


def _verify(sct: _Sct, log: Log, entry: bytes) -> None:
    """`digitally-signed struct` of section 3.2; version v1 and signature type certificate_timestamp are zeros."""
    covered = b"\0\0" + sct.milliseconds.to_bytes(8, "big") + entry
    covered += len(sct.extensions).to_bytes(2, "big") + sct.extensions
    scheme = log.key.verify(sct.signature, covered) or ""
    begin = _ALGORITHMS.get(sct.algorithm)
    if begin is None or not scheme.startswith(begin) or not scheme.endswith("-sha256"):
        message = (
            f"its certificate has an SCT by {log.base_url} that does not verify: the certificate is not what was logged"
        )
        raise TrustFailure("sct-invalid", message)


def _list(data: bytes) -> list[_Sct]:
    """`SignedCertificateTimestampList` (section 3.3)."""
    reader = _Reader(data)
    inside = _Reader(reader.vector())
    reader.end()
    found = []
    while inside.left():
        found.append(_serialized(inside.vector()))
    if not found:
        raise TrustFailure("sct-missing", "its certificate has an empty list of SCTs")
    return found


def _serialized(data: bytes) -> _Sct:
    """`SignedCertificateTimestamp` (section 3.2)."""
    reader = _Reader(data)
    version = reader.take(1)
    log_id = reader.take(32)
    milliseconds = int.from_bytes(reader.take(8), "big")
    sct = _Sct(log_id, milliseconds, reader.vector(), *_signature(reader))
    reader.end()
    if version != b"\0":
        raise TrustFailure("sct-invalid", f"its certificate has an SCT of version {version[0] + 1}, which is not known")
    return sct


def _signature(reader: _Reader) -> tuple[tuple[int, int], bytes]:
    algorithm = reader.take(2)
    return (algorithm[0], algorithm[1]), reader.vector()


def _detached(data: bytes) -> _Sct:
    """An SCT in a file: serialized, or a log's answer in JSON (`add-chain`, section 4.1), as Fulcio passes it on."""
    if data.lstrip()[:1] != b"{":
        return _serialized(data)
    from sealgate import strictjson
    from sealgate.errors import SealgateError

    try:
        answer = strictjson.parse(data, limit=limits.CERTIFICATE_BYTES, what="the SCT")
    except SealgateError as error:
        raise TrustFailure("sct-invalid", f"its certificate's SCT cannot be read: {error.message}") from None
    version, milliseconds = answer.get("sct_version"), answer.get("timestamp")
    if type(version) is not int or version != 0 or type(milliseconds) is not int or not 0 <= milliseconds < 2**63:
        raise TrustFailure("sct-invalid", "its certificate's SCT is not of version 1, or has no time")
    reader = _Reader(_base64(answer.get("signature")))
    sct = _Sct(_base64(answer.get("id")), milliseconds, _base64(answer.get("extensions", "")), *_signature(reader))
    reader.end()
    return sct


def _base64(value: object) -> bytes:
    import binascii

    try:
        if isinstance(value, str):
            return binascii.a2b_base64(value, strict_mode=True) if value else b""
    except ValueError:
        pass
    raise TrustFailure("sct-invalid", "its certificate's SCT has a value that is not base64")


class _Reader:
    """A cursor over TLS presentation language (RFC 5246, section 4)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise TrustFailure("sct-invalid", "its certificate's SCT is cut off")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def vector(self) -> bytes:
        """Bytes behind their number, which has two bytes."""
        return self.take(int.from_bytes(self.take(2), "big"))

    def left(self) -> bool:
        return self._at < len(self._data)

    def end(self) -> None:
        if self.left():
            raise TrustFailure("sct-invalid", "its certificate's SCT has bytes behind its end")
