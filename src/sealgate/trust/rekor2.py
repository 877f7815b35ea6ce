"""What a Rekor v2 entry is about (rekor-tiles, pkg/types): the leaf is made again from what was signed, byte for byte.

So nothing of what comes along is believed: a proof about anything else leads to another root. Leaves are RFC 8785 JSON,
whose members are in order and need no escapes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from sealgate.evidence import base64
from sealgate.trust import fields, rekor1
from sealgate.trust.failure import TrustFailure
from sealgate.trust.rekor1 import Kind

if TYPE_CHECKING:
    from sealgate.trust.signed import Signed

KINDS: frozenset[Kind] = frozenset({("hashedrekord", "0.0.2"), ("dsse", "0.0.2")})
"""`dsse` was written until 2026; since then an envelope is a `hashedrekord` of its PAE."""


class _Details(NamedTuple):
    """`PublicKeyDetails` of sigstore_common.proto: a key, and the hash that its signatures are over."""

    name: str
    hash: str | None
    """None: over the message itself, which only `dsse` entries have."""


_DETAILS = {
    "ecdsa-p256": (_Details("PKIX_ECDSA_P256_SHA_256", "sha256"),),
    "ecdsa-p384": (_Details("PKIX_ECDSA_P384_SHA_384", "sha384"), _Details("PKIX_ECDSA_P384_SHA_256", "sha256")),
    "ecdsa-p521": (_Details("PKIX_ECDSA_P521_SHA_512", "sha512"), _Details("PKIX_ECDSA_P521_SHA_256", "sha256")),
    "rsa-2048": (_Details("PKIX_RSA_PKCS1V15_2048_SHA256", "sha256"),),
    "rsa-3072": (_Details("PKIX_RSA_PKCS1V15_3072_SHA256", "sha256"),),
    "rsa-4096": (_Details("PKIX_RSA_PKCS1V15_4096_SHA256", "sha256"),),
    "ed25519": (_Details("PKIX_ED25519_PH", "sha512"), _Details("PKIX_ED25519", None)),
}
"""The usual ones first. A leaf says one of them, and only a leaf that the log holds has a proof."""


def bind(body: bytes, kind: Kind, signed: Signed) -> tuple[bytes, ...]:
    """The leaves that an entry about the signature can have; of which `body`, where it comes along, must be one.

    Raises `TrustFailure`.
    """
    found = _bodies(kind, signed, _verifier(body, signed))
    if not body:
        if not found:
            raise rekor1.not_bound(f"is of the kind {kind[0]}, in which such a signature is not logged")
        return found
    if body in found:
        return (body,)
    raise _mismatch(body, kind)


def _bodies(kind: Kind, signed: Signed, verifier: str) -> tuple[bytes, ...]:
    signature = base64.encode(signed.signature)
    details = _DETAILS.get(signed.key.algorithm, ())
    made = []
    for each in details:
        signer = f'{{"content":"{signature}","verifier":{{"keyDetails":"{each.name}",{verifier}}}}}'
        if kind[0] == "dsse":
            if signed.envelope is None:
                break
            digest = base64.encode(hashlib.sha256(signed.envelope.payload).digest())
            made.append(
                '{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":'
                f'"{digest}"}},"signatures":[{signer}]}}}}}}'
            )
            continue
        covered = signed.digest(each.hash) if each.hash is not None else None
        if covered is not None and each.hash is not None:
            made.append(
                '{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":'
                f'"{each.hash.upper().replace("SHA", "SHA2_")}","digest":"{base64.encode(covered)}"}},'
                f'"signature":{signer}}}}}}}'
            )
    return tuple(text.encode("ascii") for text in made)


def _verifier(body: bytes, signed: Signed) -> str:
    """The signer as leaves have it: its certificate, or its key; of a managed key, perhaps a certificate of that key."""
    if signed.certificate is not None:
        return f'"x509Certificate":{{"rawBytes":"{base64.encode(signed.certificate)}"}}'
    if b'"x509Certificate"' in body:
        text = body.partition(b'"x509Certificate":{"rawBytes":"')[2].partition(b'"')[0]
        certificate = fields.decoded(text.decode("ascii", "replace"), "certificate", limit=len(body), url_safe=False)
        if signed.is_by(certificate):
            return f'"x509Certificate":{{"rawBytes":"{base64.encode(certificate)}"}}'
    return f'"publicKey":{{"rawBytes":"{base64.encode(signed.key.spki)}"}}'


def _mismatch(body: bytes, kind: Kind) -> TrustFailure:
    """Why a leaf is none of those that it can be."""
    whole = rekor1.document(body)
    if (fields.text(whole, "kind"), fields.text(whole, "apiVersion")) != kind:
        return fields.malformed(f"is said to be {' '.join(kind)[:60]!a}, and is something else")
    return rekor1.not_bound("is about another signature, another signer or other content")
