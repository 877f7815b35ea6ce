"""A key of one's own with a certificate of one's own authority (cosign's `sign --key K --certificate C --certificate-chain A`).

The certificate is read as a verifier would read it: it must be for this key, name somebody, and be valid now, and its path
must lead to the last certificate of the chain. It lives for longer than minutes, so nobody need say when it was used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import KeyMalformedError, KeyMaterialError
from sealgate.signing.author import Author, Witnesses
from sealgate.signing.fulcio import Certificate

if TYPE_CHECKING:
    from sealgate.keys.signer import Signer
    from sealgate.trust.root import Authority, TrustRoot

_SEQUENCE = 0x30
"""The first byte of a certificate in DER."""


def author(
    signer: Signer,
    certificate: bytes,
    chain: bytes | None,
    *,
    witnesses: Witnesses,
    root: TrustRoot | None,
    sct: bool,
    now: float,
) -> Author:
    """Somebody who signs with the key of `signer`; `certificate` is PEM or DER, `chain` PEM, the anchor last.

    What is made is judged under the authority of the chain; logs and timestamp authorities are those of `root`. Without a
    chain under `root` as it is. Raises `KeyMaterialError`s.
    """
    from sealgate.trust import certificates
    from sealgate.trust.failure import TrustFailure
    from sealgate.trust.root import TrustRoot

    ders = _ders(certificate, alone=chain is not None)
    authorities: tuple[Authority, ...] = ()
    if chain is not None:
        authorities = certificates.authorities_from_pem(chain, anchors="last", what="--certificate-chain")
        root = (root or TrustRoot((), (), (), ()))._replace(certificate_authorities=authorities)
    try:
        leaf = certificates.read_leaf(ders[0])
        if leaf.key != signer.public_key:
            raise KeyMaterialError(
                f"--certificate is for the key {leaf.key.fingerprint}, and {signer.public_key.fingerprint} is to sign",
                hint="the certificate of the key that --key names",
            )
        if not leaf.not_before <= now <= leaf.not_after:
            raise KeyMaterialError("--certificate is not valid now", hint="is this machine's clock right?")
        if authorities and root is not None:
            certificates.path_at(leaf, root, now)
    except TrustFailure as failure:
        raise KeyMaterialError(
            f"--certificate could be believed by nobody: {failure.message} [{failure.code}]",
            hint="--certificate-chain FILE: who issued it first, the root last",
        ) from failure
    above = authorities[0].chain if authorities else ders[1:]
    return Author(signer, Certificate(leaf, above), witnesses, root, sct, now, lasting=True)


def _ders(certificate: bytes, *, alone: bool) -> tuple[bytes, ...]:
    from sealgate.trust import certificates

    if certificate[:1] == bytes([_SEQUENCE]):
        return (certificate,)
    found = certificates.certificates_from_pem(certificate, what="--certificate")
    if alone and len(found) > 1:
        raise KeyMalformedError(
            f"--certificate has {len(found)} certificates, and --certificate-chain is given too",
            hint="the key's own certificate in one, those above it in the other",
        )
    return found
