"""Who made a signature: (2) of the checks, for a key that is asked for or a certificate under a trust root. Pure.

With a certificate these are steps (A) to (F) of `trust.proof`, with the signature (E) and the identity (F) judged here.
With a key only what is asked for beside it is: a log entry, a timestamp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate.errors import EnvelopeInvalidError, SealgateError
from sealgate.verification.findings import Finding

if TYPE_CHECKING:
    from sealgate.evidence.bundle import Bundle
    from sealgate.evidence.dsse import Envelope
    from sealgate.evidence.legacy import BlobBundle, LegacySignature
    from sealgate.keys.algorithms import PublicKey
    from sealgate.trust.certificates import Leaf
    from sealgate.trust.proof import Demand, Material, Proof
    from sealgate.verification.deny import DenyList
    from sealgate.verification.requirement import IdentifiedAs, SignedBy

ByKey = tuple["SignedBy | None", "str | None", Finding]
"""The key that a signature verified with, its scheme, and what is to be said."""


class Trust(NamedTuple):
    """What is asked for beside the signature, and whose certificates count."""

    demand: Demand
    identities: tuple[IdentifiedAs, ...]
    """Empty: no certificate counts, keys alone."""
    certificate: bytes | None
    """DER: the certificate of signatures that come without one (`--certificate`)."""
    scts: tuple[bytes, ...] = ()
    """SCTs of certificates that have none inside (`--sct`); bytes as they came."""


class Content(NamedTuple):
    """One signature, what it covers, and what came along."""

    signature: bytes
    envelope: Envelope | None
    message: bytes | None
    verify: Callable[[PublicKey], str | None]
    """The scheme if the signature verifies with this key over what was fetched."""
    digest: Callable[[str], bytes]
    """The digest of what was signed (`sha256` …), computed here."""
    certificate: bytes | None
    """DER of the leaf that came along."""
    extra: tuple[bytes, ...]
    """Certificates behind it; never anchors."""
    material: Callable[[], Material]
    """Log entries and timestamps that came along. Raises `EnvelopeInvalidError`."""
    proofs_needed: bool
    """Every log entry must have a proof of inclusion (bundles from v0.2 on)."""


class Came(NamedTuple):
    """What came along with a signature that is in no bundle of its own."""

    certificate: bytes | None
    """DER."""
    promises: tuple[dict[str, Any], ...] = ()
    timestamps: tuple[bytes, ...] = ()


NOTHING_CAME = Came(None)


class Made(NamedTuple):
    """Who made it, as far as can be said."""

    key: PublicKey | None
    name: str | None
    scheme: str | None
    findings: tuple[Finding, ...]
    leaf: Leaf | None = None
    """Its certificate, where one was judged; believed only if no finding failed."""
    proof: Proof | None = None
    needed: frozenset[str] = frozenset()
    """The codes that must have passed beside the others' (invariant 3)."""


def judge(
    content: Content,
    *,
    by_key: Callable[[], ByKey],
    keys: bool,
    trust: Trust | None,
    deny: DenyList,
    hash_name: str | None,
) -> Made:
    """Judge who made a signature. `by_key` tries the keys that are asked for; `keys` says whether there are any.

    Only signatures over `hash_name` count; None: any hash that goes with the key.
    """
    if trust is None or keys:
        signed_by, scheme, finding = by_key()
        if trust is None or signed_by is not None or not trust.identities:
            return _by_key(content, signed_by, scheme, finding, trust, deny)
        # Not by a key that is asked for; an identity would do as well.
    return _by_certificate(content, trust, deny, hash_name)


def _by_key(
    content: Content,
    signed_by: SignedBy | None,
    scheme: str | None,
    finding: Finding,
    trust: Trust | None,
    deny: DenyList,
) -> Made:
    findings = [finding]
    if signed_by is None:
        return Made(None, None, scheme, (finding,))
    proof = None
    needed: frozenset[str] = frozenset()
    if trust is not None:
        proof = _prove(content, signed_by.key, None, trust, findings)
        needed = _needed(trust.demand, certificate=False)
    reason = deny.key(signed_by.key.fingerprint)
    if reason is not None:
        findings.append(Finding("denied-key", "failed", f"the key {signed_by.key.fingerprint} is denied: {reason}"))
    return Made(signed_by.key, signed_by.name, scheme, tuple(findings), None, proof, needed)


_NEEDED = frozenset({"signature-verified", "identity-verified"})


def _needed(demand: Demand, *, certificate: bool) -> frozenset[str]:
    from sealgate.trust import proof

    found = proof.needed(demand, certificate=certificate)
    return found | _NEEDED if certificate else found


def _by_certificate(content: Content, trust: Trust, deny: DenyList, hash_name: str | None) -> Made:
    from sealgate.trust import certificates
    from sealgate.trust.failure import TrustFailure

    needed = _needed(trust.demand, certificate=True)
    der = content.certificate or trust.certificate
    if der is None:
        finding = Finding("certificate-missing", "failed", "carries no certificate, so it names nobody")
        return Made(None, None, None, (finding,), needed=needed)
    try:
        certificates.check_bag(content.extra)
        leaf = certificates.read_leaf(der)
    except TrustFailure as failure:
        return Made(None, None, None, (Finding(failure.code, "failed", failure.message),), needed=needed)
    findings: list[Finding] = []
    scheme = content.verify(leaf.key) if content.signature else None  # (E)
    if not content.signature:
        findings.append(Finding("signature-missing", "failed", "carries an empty signature"))
    elif scheme is None:
        message = "does not verify with the key of its certificate: altered"
        findings.append(Finding("signature-invalid", "failed", message))
    elif hash_name is not None and not scheme.endswith(f"-{hash_name}"):
        message = f"is {scheme}, and {hash_name} is asked for"
        findings.append(Finding("signature-hash-mismatch", "failed", message))
    else:
        message = f"signed by the key of its certificate ({leaf.key.fingerprint}, {scheme})"
        findings.append(Finding("signature-verified", "passed", message))
    findings.append(_identity(leaf, trust.identities))  # (F)
    proof = _prove(content, leaf.key, leaf, trust, findings)  # (A) to (D)
    reason = deny.key(leaf.key.fingerprint)
    if reason is not None:
        findings.append(Finding("denied-key", "failed", f"the key {leaf.key.fingerprint} is denied: {reason}"))
    reason = deny.identity(leaf.identity.subject)
    if reason is not None:
        findings.append(Finding("denied-identity", "failed", f"{leaf.identity.subject} is denied: {reason}"))
    if any(finding.outcome == "failed" for finding in findings):
        return Made(None, None, None, tuple(findings), leaf, proof, needed)
    return Made(leaf.key, leaf.identity.subject, scheme, tuple(findings), leaf, proof, needed)


def _identity(leaf: Leaf, asked: tuple[IdentifiedAs, ...]) -> Finding:
    """(F) One of the identities that are asked for."""
    first = None
    for identified in asked:
        failure = identified.pattern.mismatch(leaf.identity)
        if failure is None:
            return Finding("identity-verified", "passed", f"is by {leaf.identity.describe()}")
        first = first or failure
    if first is None:
        return Finding("identity-mismatch", "failed", "is by somebody, and nobody is asked for")
    if len(asked) == 1:
        return Finding(first.code, "failed", first.message)
    return Finding("identity-mismatch", "failed", f"is by {leaf.identity.describe()}, none of those asked for")


def _prove(content: Content, key: PublicKey, leaf: Leaf | None, trust: Trust, findings: list[Finding]) -> Proof | None:
    from sealgate.trust import proof as proofs
    from sealgate.trust.signed import Signed

    try:
        material = content.material()
    except SealgateError as error:
        findings.append(Finding("evidence-malformed", "failed", f"cannot be read: {error.message} [{error.code}]"))
        return None
    if content.proofs_needed and trust.demand.log:
        for entry in material.entries:
            if not entry.get("inclusionProof"):
                message = "carries a log entry without a proof that it is in the log"
                findings.append(Finding("log-proof-missing", "failed", message))
                return None
    names = ("sha256", *key.hashes[:1]) if key.hashes else ("sha256", "sha512")
    digests = tuple((name, content.digest(name)) for name in dict.fromkeys(names))
    signed = Signed(
        content.signature, key, leaf.der if leaf is not None else None, content.envelope, content.message, digests
    )
    proof = proofs.prove(signed, leaf, material._replace(scts=trust.scts), trust.demand)
    findings += [Finding(*check) for check in proof.checks]
    return proof


def of_bundle(bundle: Bundle, envelope: Envelope, message: bytes) -> Content:
    """The one signature of a DSSE bundle. `message` is the envelope's PAE."""
    signature = envelope.signatures[0].sig
    return Content(
        signature, envelope, None, lambda key: key.verify(signature, message), _hasher(message),
        bundle.certificates[0] if bundle.certificates else None, bundle.certificates[1:],
        lambda: material_of(bundle), bundle.version != "0.1",
    )  # fmt: skip


def material_of(bundle: Bundle) -> Material:
    """What came along in a bundle."""
    from sealgate.trust.proof import Material

    return Material(bundle.log_entries, timestamps=bundle.timestamps)


def material_that(came: Came) -> Material:
    """What came along, as the checks take it."""
    from sealgate.trust.proof import Material

    return Material(promises=came.promises, timestamps=came.timestamps)


def of_legacy(legacy: LegacySignature, message: bytes, *, envelope: Envelope | None) -> Content:
    """A signature of the legacy format, with what its annotations carry; that of `envelope`, where there is one.

    Raises `EnvelopeInvalidError`.
    """
    signature = legacy.signature if envelope is None else envelope.signatures[0].sig
    return Content(
        signature, envelope, message if envelope is None else None, lambda key: key.verify(signature, message),
        _hasher(message), der_of(legacy.certificate), (),
        lambda: _material_of_legacy(legacy, stamped=None if envelope is None else legacy.payload), False,
    )  # fmt: skip


def of_envelope(envelope: Envelope, message: bytes, came: Came) -> Content:
    """The one signature of a bare envelope, with what came along in whatever way."""
    signature = envelope.signatures[0].sig
    return Content(
        signature, envelope, None, lambda key: key.verify(signature, message), _hasher(message), came.certificate, (),
        lambda: material_that(came), False,
    )  # fmt: skip


def der_of(pem: bytes | None) -> bytes | None:
    """The one certificate of a PEM text. Raises `EnvelopeInvalidError`: a bare key is no certificate (GHSA-fx35-mq7g-6g98)."""
    if pem is None:
        return None
    from sealgate.keys import pem as pems

    try:
        block = pems.decode(pem, what="its certificate")
    except SealgateError as error:
        raise EnvelopeInvalidError(error.message) from error
    if block.label != "CERTIFICATE":
        raise EnvelopeInvalidError(f"its certificate is a {block.label.lower()}")
    return block.body


def _material_of_legacy(legacy: LegacySignature, *, stamped: bytes | None) -> Material:
    from sealgate.evidence.legacy import promise_of, timestamp_of
    from sealgate.trust.proof import Material

    return Material(
        promises=(promise_of(legacy.bundle),) if legacy.bundle is not None else (),
        timestamps=(timestamp_of(legacy.timestamp),) if legacy.timestamp is not None else (),
        stamped=stamped,
    )


def came_in(bundle: BlobBundle) -> Came:
    """What came along in cosign's legacy bundle of a blob. Raises `EnvelopeInvalidError`.

    With a key, cosign writes the *public key* where the certificate stands: a key that comes along proves nothing.
    """
    from sealgate.keys import pem as pems

    certificate = None
    if bundle.certificate is not None and "PUBLIC KEY" not in pems.labels(bundle.certificate):
        certificate = der_of(bundle.certificate)
    return Came(certificate, (bundle.log_entry,) if bundle.log_entry is not None else ())


def _hasher(message: bytes) -> Callable[[str], bytes]:
    def digest(name: str) -> bytes:
        import hashlib

        return hashlib.new(name, message).digest()

    return digest
