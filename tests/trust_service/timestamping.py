"""A timestamp authority (RFC 3161; the policy and the JSON of sigstore/timestamp-authority)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trust_service import authority, der
from trust_service.hooks import Hooks
from trust_service.period import Period, moment
from trust_service.refusal import RefusedError

POLICY = "1.3.6.1.4.1.57264.2"
HASHES = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
_NAMES = {oid: name for name, oid in HASHES.items()}
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME = (f"1.2.840.113549.1.9.{number}" for number in (3, 4, 5))
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"


class Timestamp(NamedTuple):
    """What is about to be signed, by whom, and how it is wrapped."""

    hash: str
    imprint: bytes
    at: float
    nonce: int | None
    with_certificates: bool
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    """The leaf, its root."""
    serial: int
    policy: str = POLICY
    status: int = 0
    accuracy_seconds: int = 1
    content_type: str = _TST_INFO
    claimed_digest: bytes | None = None
    """The attribute messageDigest; None: the right one."""
    named: x509.Certificate | None = None
    """The signer that the token names; None: the leaf."""

    def info(self) -> bytes:
        """TSTInfo."""
        imprint = der.sequence(der.sequence(der.oid(HASHES[self.hash])), der.octets(self.imprint))
        nonce = [] if self.nonce is None else [der.integer(self.nonce)]
        return der.sequence(
            der.integer(1),
            der.oid(self.policy),
            imprint,
            der.integer(self.serial),
            der.tlv(0x18, moment(self.at).strftime("%Y%m%d%H%M%SZ").encode()),
            der.sequence(der.integer(self.accuracy_seconds)),
            *nonce,
        )

    def signed(self) -> bytes:
        """TimeStampResp, DER."""
        if self.status not in {0, 1}:
            return der.sequence(der.sequence(der.integer(self.status)))
        content = self.info()
        named = self.named or self.chain[0]
        leaf = named.public_bytes(serialization.Encoding.DER)
        issuer, serial = named.issuer.public_bytes(), der.integer(named.serial_number)
        sha256 = der.sequence(der.oid(HASHES["sha256"]))
        certificate = der.sequence(
            der.octets(hashlib.sha256(leaf).digest()), der.sequence(der.sequence(der.tlv(0xA4, issuer)), serial)
        )
        attributes = [
            _attribute(_CONTENT_TYPE, der.oid(self.content_type)),
            _attribute(_SIGNING_TIME, der.tlv(0x17, moment(self.at).strftime("%y%m%d%H%M%SZ").encode())),
            _attribute(_MESSAGE_DIGEST, der.octets(self.claimed_digest or hashlib.sha256(content).digest())),
            _attribute(_SIGNING_CERTIFICATE, der.sequence(der.sequence(certificate))),
        ]
        covered = der.set_of(*attributes)
        signer = der.sequence(
            der.integer(1),
            der.sequence(issuer, serial),
            sha256,
            b"\xa0" + covered[1:],
            der.sequence(der.oid(_ECDSA_SHA256)),
            der.octets(self.key.sign(covered, ec.ECDSA(hashes.SHA256()))),
        )
        certificates = [leaf] if self.with_certificates else []
        data = der.sequence(
            der.integer(3),
            der.set_of(sha256),
            der.sequence(der.oid(self.content_type), der.tlv(0xA0, der.octets(content))),
            *([der.tlv(0xA0, *certificates)] if certificates else []),
            der.set_of(signer),
        )
        token = der.sequence(der.oid(_SIGNED_DATA), der.tlv(0xA0, data))
        return der.sequence(der.sequence(der.integer(self.status)), token)


class TimestampAuthority:
    """An authority: its chain and key."""

    def __init__(self, name: str, valid: Period, certificates: Period) -> None:
        self.name = name
        self.valid = valid
        self.key, chain = authority.timestamping(name, certificates)
        self.certificates = tuple(chain)

    @property
    def chain(self) -> list[bytes]:
        """DER: leaf, root."""
        return [one.public_bytes(serialization.Encoding.DER) for one in self.certificates]

    def stamp(
        self,
        hash_: str,
        imprint: bytes,
        at: float,
        hooks: Hooks,
        *,
        nonce: int | None = None,
        with_certificates: bool = False,
    ) -> bytes:
        """The response for a digest."""
        serial = 1 << 118 | secrets.randbits(118)
        stamp = Timestamp(hash_, imprint, at, nonce, with_certificates, self.key, self.certificates, serial)
        return hooks("signed-timestamp", hooks("timestamp", stamp).signed())

    def answer(self, query: bytes, at: float, hooks: Hooks) -> bytes:
        """The response for a TimeStampReq. Raises RefusedError."""
        try:
            [request] = der.read_all(query)
            _, imprint, *rest = request.children()
            algorithm, digest = imprint.children()
            name = _NAMES[_dotted(algorithm.children()[0].content)]
        except (ValueError, KeyError, IndexError):
            raise RefusedError(400, "this is no timestamp query") from None
        if name == "sha1" or len(digest.content) != hashlib.new(name).digest_size:
            raise RefusedError(400, "weak hash algorithm in timestamp request, or a digest of another length")
        nonce = next((int.from_bytes(one.content, "big", signed=True) for one in rest if one.tag == 0x02), None)
        with_certificates = any(one.tag == 0x01 and one.content != b"\x00" for one in rest)
        return self.stamp(name, digest.content, at, hooks, nonce=nonce, with_certificates=with_certificates)

    def answer_json(self, query: dict[str, Any], at: float, hooks: Hooks) -> bytes:
        """The response for the JSON that sigstore-js sends."""
        name = query.get("hashAlgorithm", "sha256")
        try:
            imprint = base64.b64decode(query["artifactHash"], validate=True)
            nonce = query.get("nonce")
            wanted = bool(query.get("certificates", False))
            if name not in {"sha256", "sha384", "sha512"}:
                raise ValueError(name)
            nonce = None if nonce is None else int(nonce)
        except (KeyError, TypeError, ValueError):
            raise RefusedError(400, "this is no timestamp query in JSON") from None
        return self.stamp(name, imprint, at, hooks, nonce=nonce, with_certificates=wanted)


def _attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of(value))


def _dotted(content: bytes) -> str:
    numbers, value = [], 0
    for byte in content:
        value = value << 7 | (byte & 0x7F)
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
