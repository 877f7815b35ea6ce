"""The certificate authority: a certificate for our key that names us (Fulcio, API v2, `POST /api/v2/signingCert`).

We prove who we are with an identity token, and that the key is ours by signing what the token calls us. What comes back is
read as a verifier would read it: it must be for our key, name us, and be valid now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sealgate import limits
from sealgate.errors import FulcioAnswerError, FulcioRefusedError, FulcioUnavailableError, SealgateError
from sealgate.evidence import base64
from sealgate.keys import pem
from sealgate.keys.signer import sign_message
from sealgate.signing.service import Kind, Service, ask, document

if TYPE_CHECKING:
    from sealgate.keys.signer import Signer
    from sealgate.signing.tokens.token import IdentityToken
    from sealgate.transport.message import Response, Tls, Url
    from sealgate.trust.certificates import Leaf

KIND = Kind("the certificate authority", FulcioUnavailableError, FulcioRefusedError, FulcioAnswerError)
_CHAIN = 8
"""Certificates in one answer."""
_SKEW = 600.0
"""Seconds by which the authority's clock may be ahead of ours: what counts is the time that logs and timestamps prove."""
_ALGORITHMS = {"ecdsa": "ECDSA", "rsa": "RSA_PSS", "ed25519": "ED25519"}
"""`PublicKeyAlgorithm` of fulcio.proto; the authority looks at the key itself."""


class Certificate(NamedTuple):
    """A certificate that was issued to us."""

    leaf: Leaf
    chain: tuple[bytes, ...]
    """DER: what the authority says is above it. Shown to verifiers of the legacy format, and an anchor to nobody."""

    def pem(self) -> bytes:
        """The certificate alone."""
        return pem.encode("CERTIFICATE", self.leaf.der)

    def chain_pem(self) -> bytes:
        """What is above it."""
        return b"".join(pem.encode("CERTIFICATE", der) for der in self.chain)


def service(url: Url, tls: Tls) -> Service:
    """The authority at this address."""
    return Service(KIND, url, tls)


async def certify(authority: Service, token: IdentityToken, signer: Signer, *, now: float) -> Certificate:
    """A certificate for the signer's key, for whom the token names.

    Raises `FulcioUnavailableError`, `FulcioRefusedError`, `FulcioAnswerError`, and what the signer raises.
    """
    import json

    key = signer.public_key
    proof = await sign_message(signer, token.challenge.encode("utf-8"))
    algorithm = _ALGORITHMS[key.algorithm.partition("-")[0]]
    shown = {"algorithm": algorithm, "content": pem.encode("PUBLIC KEY", key.spki).decode("ascii")}
    body = json.dumps({"publicKeyRequest": {"publicKey": shown, "proofOfPossession": base64.encode(proof)}})
    secret = token.reveal()
    headers = (
        ("Authorization", f"Bearer {secret}"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    )
    url = authority.below("/api/v2/signingCert")
    response = await ask(authority, "POST", url, headers=headers, body=body.encode("utf-8"), secrets=(secret,))
    return _read(authority, response, token, signer, now)


def _read(authority: Service, response: Response, token: IdentityToken, signer: Signer, now: float) -> Certificate:
    from sealgate.trust import certificates
    from sealgate.trust.failure import TrustFailure

    ders = [_der(authority, text) for text in _chain(authority, document(authority, response))]
    try:
        leaf = certificates.read_leaf(ders[0])
    except TrustFailure as failure:
        raise authority.invalid(f"gives a certificate that cannot be believed: {failure.message}") from failure
    if leaf.key != signer.public_key:
        raise authority.invalid("gives a certificate for another key than ours")
    if not leaf.not_before - _SKEW <= now <= leaf.not_after:
        raise authority.invalid("gives a certificate that is not valid now; is this machine's clock right?")
    _check_identity(authority, leaf, token)
    return Certificate(leaf, tuple(ders[1:]))


def _check_identity(authority: Service, leaf: Leaf, token: IdentityToken) -> None:
    """An e-mail address, a URI as subject, and the issuer stand in the certificate as in the token.

    Other names are made from claims by rules of the authority's own (Fulcio, docs/oidc.md), among them that the issuer is
    one that a claim names: a broker passes on who signed the person in.
    """
    named = leaf.identity
    expected = None
    if named.kind == "email":
        expected = token.claims.get("email") or token.challenge
    elif "://" in token.challenge and named.kind == "uri" and "email" not in token.claims:
        expected = token.challenge
    if expected is not None and named.subject != expected:
        raise authority.invalid(f"gives a certificate for {named.subject}, and we are {expected}")
    if named.issuer not in _texts(token.claims, 4):
        raise authority.invalid(f"gives a certificate that {named.issuer} vouches for, whom our token does not name")


def _texts(value: Any, depth: int) -> set[str]:
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict) and depth:
        return {text for each in value.values() for text in _texts(each, depth - 1)}
    return set()


def _chain(authority: Service, whole: dict[str, Any]) -> list[str]:
    """The PEM blocks of `SigningCertificate` (fulcio.proto), the leaf first."""
    found = whole.get("signedCertificateEmbeddedSct") or whole.get("signedCertificateDetachedSct")
    chain = found.get("chain") if isinstance(found, dict) else None
    blocks = chain.get("certificates") if isinstance(chain, dict) else None
    if not isinstance(blocks, list) or not blocks or not all(isinstance(text, str) for text in blocks):
        raise authority.invalid("gives no certificate")
    if len(blocks) > _CHAIN:
        raise authority.invalid(f"gives more than {_CHAIN} certificates")
    return blocks


def _der(authority: Service, text: str) -> bytes:
    try:
        block = pem.decode(text.encode("utf-8")[: limits.KEY_FILE_BYTES + 1], what="a certificate")
    except SealgateError as error:
        raise authority.invalid(f"gives a certificate that is none: {error.message}") from error
    if block.label != "CERTIFICATE":
        raise authority.invalid("gives something else than a certificate")
    return block.body
