"""Certificates of signers: reading one, and its path to an authority of the trust root at a given time.

The path is that of RFC 5280, section 6.1, without revocation (certificates live minutes) and without certificate policies.
What stands above the signer's certificate is the same for thousands of signatures, so it is checked once and kept: each
signature then costs one verification. `cryptography` parses certificates and verifies their signatures; its own path
verification (`x509.verification`) would verify the intermediate's signature anew each time, which alone takes longer than
all else does, and knows no constraints on URIs and e-mail addresses. The tests hold both to the same answers.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from sealgate import limits
from sealgate.errors import KeyMalformedError, KeyMaterialError
from sealgate.keys import algorithms, pem
from sealgate.trust import identity
from sealgate.trust.failure import TrustFailure
from sealgate.trust.root import Authority, Period

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sealgate.keys.algorithms import HashName, PublicKey
    from sealgate.trust.constraints import Constraints
    from sealgate.trust.identity import Identity
    from sealgate.trust.root import TrustRoot

_CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
_ANY_PURPOSE = "2.5.29.37.0"
_SCT_LIST = "1.3.6.1.4.1.11129.2.4.2"
_UNDERSTOOD = frozenset({
    "2.5.29.15",  # KeyUsage
    "2.5.29.17",  # SubjectAlternativeName
    "2.5.29.19",  # BasicConstraints
    "2.5.29.32",  # CertificatePolicies: none is asked for, so each will do
    "2.5.29.37",  # ExtendedKeyUsage
})  # fmt: skip
"""Extensions that may be critical."""
_NAME_CONSTRAINTS = "2.5.29.30"
_ECDSA_WITH: dict[bytes, HashName] = {
    bytes.fromhex("300a06082a8648ce3d040302"): "sha256",
    bytes.fromhex("300a06082a8648ce3d040303"): "sha384",
    bytes.fromhex("300a06082a8648ce3d040304"): "sha512",
}
"""AlgorithmIdentifier of a signature (RFC 5758, section 3.2)."""


class Raw(NamedTuple):
    """The members of a certificate of version 3 that are compared or covered byte for byte (RFC 5280, section 4.1).

    `cryptography` has read the same bytes as strict DER before; it gives values, which it would write anew.
    """

    der: bytes
    tbs: bytes
    inner: bytes
    """The AlgorithmIdentifier inside, which the signature covers."""
    issuer: bytes
    subject: bytes
    spki: bytes
    outer: bytes
    """The AlgorithmIdentifier beside the signature; it must be the same."""
    signature: bytes
    """The BIT STRING's content: first the number of unused bits."""

    def __hash__(self) -> int:
        return hash(self.der)


class Leaf(NamedTuple):
    """The certificate of a signer, as it was read. Nothing of it is believed before its path is."""

    der: bytes
    key: PublicKey
    identity: Identity
    not_before: float
    not_after: float
    certificate: x509.Certificate
    scts: bytes | None
    """The content of the extension with SCTs: a TLS list; None: there is no such extension."""
    raw: Raw


class Path(NamedTuple):
    """How a certificate came from an authority that was in use."""

    authority: Authority
    issuer_spki: bytes
    """SubjectPublicKeyInfo of the certificate that signed it."""


def read_leaf(der: bytes) -> Leaf:
    """The certificate of somebody who signs code. Raises `TrustFailure`."""
    certificate = _load(der)
    extensions = _extensions(certificate)
    _check_critical(extensions, _UNDERSTOOD)
    names: list[tuple[str, str]] = []
    arc: list[tuple[str, bytes]] = []
    usage = purposes = scts = None
    for extension in extensions:
        value = extension.value
        kind = type(value)  # `isinstance` asks abstract base classes, which takes longer than all else here
        if kind is x509.UnrecognizedExtension:
            oid = extension.oid.dotted_string
            if oid.startswith(identity.ARC):
                arc.append((oid[len(identity.ARC) :], value.value))
        elif kind is x509.SubjectAlternativeName:
            names = [_name(name) for name in value]
        elif kind is x509.KeyUsage:
            usage = value
        elif kind is x509.ExtendedKeyUsage:
            purposes = {purpose.dotted_string for purpose in value}
        elif kind is x509.PrecertificateSignedCertificateTimestamps:
            scts = _octets(value.public_bytes())
        elif kind is x509.BasicConstraints and value.ca:
            raise TrustFailure("certificate-usage", "its certificate is one of an authority, not of a signer")
    if usage is None or not usage.digital_signature or usage.key_cert_sign:
        raise TrustFailure("certificate-usage", "its certificate is not for signatures (keyUsage digitalSignature)")
    if purposes is None or _CODE_SIGNING not in purposes:
        raise TrustFailure(
            "certificate-usage", "its certificate is not for signing code (extendedKeyUsage codeSigning)"
        )
    who = identity.read(names, arc)
    not_before, not_after = _validity(certificate)
    raw = _raw(der)
    return Leaf(der, _key(raw.spki), who, not_before, not_after, certificate, scts, raw)


def check_bag(extra: tuple[bytes, ...]) -> None:
    """Look at the certificates that came along behind the signer's. None of them is ever used: the trust root has its own.

    An anchor among them refuses, as the conformance suite of Sigstore wants it (`bundle-with-root-cert`): who sends one
    expects it to be believed. Raises `TrustFailure`.
    """
    if len(extra) > limits.BAG_CERTIFICATES:
        message = f"carries {len(extra)} certificates beside its own; at most {limits.BAG_CERTIFICATES} are looked at"
        raise TrustFailure("certificate-malformed", message)
    for der in extra:
        certificate = _load(der)
        if certificate.issuer == certificate.subject:
            raise TrustFailure(
                "certificate-malformed", "carries a root certificate; roots only come from the trust root"
            )


def path_at(leaf: Leaf, root: TrustRoot, at: float) -> Path:
    """The path of `leaf` to an authority of `root`, everything on it valid at `at`. Raises `TrustFailure`."""
    failure = None
    for authority in root.certificate_authorities:
        for issuer in _issuers(authority.chain).found:
            if leaf.raw.issuer != issuer.links[0].raw.subject or not _issued(leaf.raw, issuer.links[0]):
                continue
            failure = _objection(leaf, issuer, authority, at)
            if failure is None:
                return Path(authority, issuer.spki)
    if failure is not None:
        raise failure
    who = _common_name(leaf.certificate.issuer) or "nobody"
    unusable = [fault for authority in root.certificate_authorities for fault in _issuers(authority.chain).faults]
    more = f" (of the authorities that are believed in, {unusable[0]})" if unusable else ""
    raise TrustFailure("certificate-untrusted", f"its certificate was issued by {who}, who is not believed in{more}")


def _objection(leaf: Leaf, issuer: _Issuer, authority: Authority, at: float) -> TrustFailure | None:
    """What speaks against this path, whose signatures are good."""
    if not leaf.not_before <= at <= leaf.not_after:
        return TrustFailure("certificate-expired", f"its certificate was not valid at {_utc(at)}")
    if not authority.valid.contains(at):
        return TrustFailure(
            "certificate-untrusted", f"its certificate was issued by {issuer.name}, which was not in use at {_utc(at)}"
        )
    for link in issuer.links:
        if not link.not_before <= at <= link.not_after:
            message = f"its certificate was issued under {link.name}, whose own certificate was not valid at {_utc(at)}"
            return TrustFailure("certificate-expired", message)
    name = _excluded(leaf.certificate, issuer.links)
    if name is not None:
        message = f"its certificate is for {name}, for which {issuer.name} may not issue any (name constraints)"
        return TrustFailure("certificate-untrusted", message)
    return None


def _utc(at: float) -> str:
    from sealgate.trust.proof import utc

    return utc(at)


# -- what stands above


class _Link(NamedTuple):
    """The certificate of an authority, sound in itself."""

    raw: Raw
    certificate: x509.Certificate
    key: PublicKey
    name: str
    not_before: float
    not_after: float
    length: int | None
    """pathLenConstraint."""
    self_issued: bool
    subtrees: Constraints | None
    """Name constraints."""

    def __hash__(self) -> int:
        return hash(self.raw)


class _Issuer(NamedTuple):
    """A certificate that may sign signers' certificates, with its way to the anchor: itself first."""

    links: tuple[_Link, ...]

    @property
    def spki(self) -> bytes:
        return self.links[0].raw.spki

    @property
    def name(self) -> str:
        return self.links[0].name


class _Issuers(NamedTuple):
    found: tuple[_Issuer, ...]
    faults: tuple[str, ...]
    """Why certificates of the authority cannot be used."""


@functools.lru_cache(maxsize=256)
def _issuers(chain: tuple[bytes, ...]) -> _Issuers:
    """Every certificate of an authority's chain from which a sound path leads to the last one, the anchor.

    Independent of time: validity is left to whoever asks.
    """
    if not 0 < len(chain) <= limits.CHAIN_CERTIFICATES:
        return _Issuers((), (f"one has {len(chain)} certificates",))
    links: list[_Link] = []
    faults: list[str] = []
    for der in dict.fromkeys(reversed(chain)):  # the anchor first
        try:
            links.append(_link(der))
        except TrustFailure as failure:
            if not links:
                return _Issuers((), (f"an anchor cannot be used: {failure.message}",))
            faults.append(f"a certificate cannot be used: {failure.message}")
    found = [_Issuer((links[0],))]
    for above in found:  # grows
        for link in links[1:]:
            if link in above.links or not _issued(link.raw, above.links[0]):
                continue
            fault = _fault((link, *above.links))
            if fault is not None:
                faults.append(f"{link.name} cannot be used: {fault}")
            elif len(found) >= limits.CHAIN_PATHS:
                return _Issuers((), (f"one has more than {limits.CHAIN_PATHS} ways to its anchor",))
            else:
                found.append(_Issuer((link, *above.links)))
    return _Issuers(tuple(found), tuple(faults))


def _fault(path: tuple[_Link, ...]) -> str | None:
    """What forbids the first of these under the others, lowest first; signatures are good."""
    for number, link in enumerate(path):
        below = sum(not each.self_issued for each in path[:number])
        if link.length is not None and below > link.length:
            return f"{link.name} allows {link.length} authorities below it"
    lowest = path[0]
    if not lowest.self_issued:  # RFC 5280, section 6.1.3 (b)
        name = _excluded(lowest.certificate, path[1:])
        if name is not None:
            return f"those above it exclude {name} (name constraints)"
    return None


def _excluded(certificate: x509.Certificate, above: tuple[_Link, ...]) -> str | None:
    """The first name of a certificate that those above it may not certify; None: they may."""
    subtrees = [link.subtrees for link in above if link.subtrees is not None]
    if not subtrees:
        return None
    from sealgate.trust import constraints

    return constraints.violation(subtrees, _names(certificate), certificate.subject)


def _link(der: bytes) -> _Link:
    """Read the certificate of an authority. Raises `TrustFailure`."""
    certificate = _load(der)
    name = _common_name(certificate.subject) or "an authority without a name"
    extensions = _extensions(certificate)
    _check_critical(extensions, _UNDERSTOOD | {_NAME_CONSTRAINTS})
    basic = None
    limited = None
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            basic = value
        elif isinstance(value, x509.KeyUsage) and not value.key_cert_sign:
            raise TrustFailure("certificate-usage", f"{name} may not sign certificates (keyUsage keyCertSign)")
        elif isinstance(value, x509.ExtendedKeyUsage):
            if not {purpose.dotted_string for purpose in value} & {_CODE_SIGNING, _ANY_PURPOSE}:
                raise TrustFailure("certificate-usage", f"{name} is not for signing code (extendedKeyUsage)")
        elif isinstance(value, x509.NameConstraints):
            from sealgate.trust import constraints

            limited = constraints.of(value)
    if basic is None or not basic.ca:
        raise TrustFailure("certificate-usage", f"{name} is no authority (basicConstraints)")
    raw = _raw(der)
    key = _key(raw.spki)  # none that is too weak
    not_before, not_after = _validity(certificate)
    return _Link(
        raw, certificate, key, name, not_before, not_after, basic.path_length,
        certificate.issuer == certificate.subject, limited,
    )  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _issued(below: Raw, issuer: _Link) -> bool:
    """Whether `issuer` is whom a certificate names, and its signature verifies with the issuer's key, over SHA-256 or better.

    The answer is kept: one signature is judged at several times, and an authority signs many.
    """
    if below.issuer != issuer.raw.subject or below.signature[:1] != b"\0":  # bits that are not used: no such signature
        return False
    hash_name = _ECDSA_WITH.get(below.outer)
    if hash_name is not None and issuer.key.algorithm.startswith("ecdsa-"):
        if below.inner != below.outer:
            return False
        # The issuer's key was read once; `verify_directly_issued_by` reads it every time.
        digest = hashlib.new(hash_name, below.tbs).digest()
        return issuer.key.verify_digest(below.signature[1:], digest, hash_name) is not None
    certificate = x509.load_der_x509_certificate(below.der)
    try:
        hashed = certificate.signature_hash_algorithm
        if hashed is not None and hashed.name not in algorithms.HASHES:  # None: Ed25519
            return False
        certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


# -- authorities of one's own


def authorities_from_pem(
    data: bytes, intermediates: bytes = b"", *, anchors: Literal["last", "all"], what: str
) -> tuple[Authority, ...]:
    """Authorities from PEM certificates: of `--certificate-chain` the last one is the anchor, of `--ca-roots` all are.

    `intermediates`: more certificates, below any of them. `what` names the source in errors.
    Raises `KeyMaterialError` or `KeyMalformedError`.
    """
    found = certificates_from_pem(data, what=what)
    below = certificates_from_pem(intermediates, what=f"the intermediates of {what}") if intermediates else ()
    chains = [(*below, *found)] if anchors == "last" else [(*below, each) for each in found]
    return tuple(_authority(chain, what) for chain in chains)


def _authority(chain: tuple[bytes, ...], what: str) -> Authority:
    if len(chain) > limits.CHAIN_CERTIFICATES:
        raise KeyMaterialError(
            f"{what} has an authority of {len(chain)} certificates; at most {limits.CHAIN_CERTIFICATES} are read",
            hint="leave out the intermediates that are not needed",
        )
    try:
        anchor = _load(chain[-1])
    except TrustFailure as failure:
        raise KeyMalformedError(f"{what} cannot be read: {failure.message}") from failure
    return Authority(chain, Period(None, None), common_name=_common_name(anchor.subject))


def certificates_from_pem(data: bytes, *, what: str) -> tuple[bytes, ...]:
    """The certificates of a PEM file, DER, in order; text between the blocks is left aside (RFC 7468, section 5.2).

    Raises `KeyMaterialError` or `KeyMalformedError`.
    """
    begin, end = b"-----BEGIN ", b"-----END "
    blocks = data.split(begin)[1:]
    if not blocks:
        raise KeyMalformedError(f"{what} has no PEM block CERTIFICATE")
    if len(blocks) > limits.AUTHORITY_CERTIFICATES:
        raise KeyMaterialError(f"{what} has {len(blocks)} PEM blocks; at most {limits.AUTHORITY_CERTIFICATES} are read")
    found: list[bytes] = []
    for block in blocks:
        body, ended, rest = block.partition(end)
        block_read = pem.decode(begin + body + ended + rest.partition(b"\n")[0], what=what)
        if block_read.label != "CERTIFICATE":
            raise KeyMalformedError(f"{what} has a PEM block {block_read.label[:40]}; only certificates belong there")
        try:
            _load(block_read.body)
        except TrustFailure as failure:
            raise KeyMalformedError(f"{what} has a certificate that cannot be read: {failure.message}") from failure
        found.append(block_read.body)
    return tuple(found)


# -- reading


def _load(der: bytes) -> x509.Certificate:
    if len(der) > limits.CERTIFICATE_BYTES:
        message = f"a certificate has {len(der)} bytes; at most {limits.CERTIFICATE_BYTES} are read"
        raise TrustFailure("certificate-malformed", message)
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.issuer, certificate.subject  # these are read when they are first asked for
    except (ValueError, x509.InvalidVersion, Warning):  # warnings are errors where Python was told so
        raise TrustFailure("certificate-malformed", "a certificate is no X.509 certificate in DER") from None
    if certificate.version != x509.Version.v3:
        raise TrustFailure("certificate-malformed", "a certificate is not of version 3")
    return certificate


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except x509.DuplicateExtension as error:
        message = f"a certificate has the extension {error.oid.dotted_string} twice"
        raise TrustFailure("certificate-malformed", message) from None
    except (ValueError, x509.UnsupportedGeneralNameType):
        raise TrustFailure("certificate-malformed", "a certificate has an extension that cannot be read") from None


def _check_critical(extensions: x509.Extensions, understood: Iterable[str]) -> None:
    for extension in extensions:
        if extension.critical and extension.oid.dotted_string not in understood:
            message = f"a certificate has the critical extension {extension.oid.dotted_string}, which is not understood"
            raise TrustFailure("certificate-malformed", message)


def _key(spki: bytes) -> PublicKey:
    try:
        return algorithms.parse_spki(spki, what="the key in a certificate")
    except KeyMaterialError as error:
        raise TrustFailure("certificate-malformed", error.message) from None


def _validity(certificate: x509.Certificate) -> tuple[float, float]:
    return certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()


def _name(name: x509.GeneralName) -> tuple[str, str]:
    """A subject alternative name as `identity.read` takes it."""
    kind = type(name)
    if kind is x509.UniformResourceIdentifier:
        return "uri", name.value
    if kind is x509.RFC822Name:
        return "email", name.value
    if isinstance(name, x509.OtherName) and name.type_id.dotted_string == identity.USER_NAME:
        content = identity.utf8_string(name.value)
        return "othername", "" if content is None else content.decode("utf-8", "replace")
    return f"a {kind.__name__}", ""


def _names(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return tuple(extension.value)
    return ()


def _common_name(name: x509.Name) -> str:
    """What people call the holder of a name; empty: it has none."""
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[-1].value)[: limits.TEXT_CHARS] if found else name.rfc4514_string()[: limits.TEXT_CHARS]


def _raw(der: bytes) -> Raw:
    """Cut a certificate of version 3, which `cryptography` has read, into its members."""
    start = _header(der, 0)[0]
    at, end = _header(der, start)
    places = [at]
    for _ in range(7):  # version, serialNumber, signature, issuer, validity, subject, and then the key
        at = _header(der, at)[1]
        places.append(at)
    _, _, inner, issuer, validity, subject, key, behind = places
    signed = _header(der, end)[1]
    bits, last = _header(der, signed)
    return Raw(
        der, der[start:end], der[inner:issuer], der[issuer:validity], der[subject:key], der[key:behind],
        der[end:signed], der[bits:last],
    )  # fmt: skip


def _octets(der: bytes) -> bytes:
    """The content of an OCTET STRING that `cryptography` has read."""
    start, end = _header(der, 0)
    return der[start:end]


def _header(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts and ends."""
    size, start = der[at + 1], at + 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[at + 2 : start], "big")
    return start, start + size
