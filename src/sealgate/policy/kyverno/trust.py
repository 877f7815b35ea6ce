"""`rekor`, `ctlog` and `roots` of Kyverno's attestors as trust roots of their own. Pure.

What a policy brings replaces that part of the operator's trust root, and nothing else: a policy with a log's key of its own
still asks for the operator's certificate authorities. Each switch takes away what it names: a timestamp authority does not
make a log entry needless (L17), and `url` is no address that anything here is fetched from.

Source: Kyverno, api/kyverno/v1/image_verification_types.go: Rekor, CTLog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.errors import KeyMaterialError, PolicyInvalidError, PolicyUnsupportedError
from sealgate.keys.algorithms import PublicKey
from sealgate.policy.attestors import NO_ROOT, Log
from sealgate.policy.fields import Fields
from sealgate.trust.root import Authority, Period, TrustRoot
from sealgate.trust.root import Log as TrustedLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.policy.attestors import Settings

REKOR = "https://rekor.sigstore.dev"
_DETAILS = {
    "ecdsa-p256": "PKIX_ECDSA_P256_SHA_256", "ecdsa-p384": "PKIX_ECDSA_P384_SHA_384",
    "ecdsa-p521": "PKIX_ECDSA_P521_SHA_512", "ed25519": "PKIX_ED25519", "rsa-2048": "PKIX_RSA_PKCS1V15_2048_SHA256",
    "rsa-3072": "PKIX_RSA_PKCS1V15_3072_SHA256", "rsa-4096": "PKIX_RSA_PKCS1V15_4096_SHA256",
}  # fmt: skip


def read(fields: Fields, settings: Settings, text: Callable[[str, str], str], *, roots: str | None = None) -> Log:
    """The log part of `keys`, `certificates` or `keyless`. `text` puts variables in; `roots`: PEM of authorities, if any.

    Raises `PolicyInvalidError`.
    """
    rekor = fields.fields("rekor", elsewhere={"ignoreSCT": "ctlog", "tsaCertChain": "ctlog"})
    ctlog = fields.fields("ctlog", elsewhere={"ignoreTlog": "rekor", "url": "rekor"})
    ignore_log = ignore_sct = False
    logs: tuple[TrustedLog, ...] = ()
    ct_logs: tuple[TrustedLog, ...] = ()
    stamps: tuple[Authority, ...] = ()
    if rekor is not None:
        url = rekor.text("url") or REKOR
        key = rekor.text("pubkey")
        if key is not None:
            logs = (trusted_log(text(key, rekor.at("pubkey")), url, rekor.at("pubkey")),)
        ignore_log = rekor.flag("ignoreTlog", default=False)
        rekor.end()
    if ctlog is not None:
        key = ctlog.text("pubkey")
        if key is not None:
            ct_logs = (trusted_log(text(key, ctlog.at("pubkey")), "", ctlog.at("pubkey")),)
        chain = ctlog.text("tsaCertChain")
        if chain is not None:
            stamps = authorities(text(chain, ctlog.at("tsaCertChain")), ctlog.at("tsaCertChain"), last=True)
        ignore_sct = ctlog.flag("ignoreSCT", default=False)
        ctlog.end()
    issuers = authorities(roots, fields.at("roots"), last=False) if roots is not None else ()
    root = None
    if logs or ct_logs or stamps or issuers:
        base = settings.root or NO_ROOT
        root = TrustRoot(
            issuers or base.certificate_authorities, ct_logs or base.ct_logs, logs or base.logs,
            stamps or base.timestamp_authorities,
        )  # fmt: skip
    return Log(root, ignore_log=ignore_log, ignore_sct=ignore_sct, timestamps=bool(stamps))


def public_key(pem: str, where: str) -> PublicKey:
    """One key in PEM. Raises `PolicyInvalidError`."""
    try:
        return PublicKey.from_pem(pem.encode(), what="the key")
    except (KeyMaterialError, UnicodeEncodeError) as error:
        message = error.message if isinstance(error, KeyMaterialError) else "it is no text"
        raise PolicyInvalidError(f"{where}: {message}", hint=getattr(error, "hint", None)) from error


def trusted_log(pem: str, url: str, where: str) -> TrustedLog:
    """A log by its key."""
    key = public_key(pem, where)
    details = _DETAILS.get(key.algorithm)
    if details is None:
        raise PolicyUnsupportedError(f"{where}: logs with a key of kind {key.algorithm} are not known")
    import hashlib

    return TrustedLog(url, key, details, Period(None, None), hashlib.sha256(key.spki).digest())


def authorities(pem: str, where: str, *, last: bool) -> tuple[Authority, ...]:
    """Authorities in PEM: of a chain the last one is the anchor, of roots each."""
    from sealgate.trust import certificates

    try:
        return certificates.authorities_from_pem(pem.encode(), anchors="last" if last else "all", what=where)
    except KeyMaterialError as error:
        raise PolicyInvalidError(error.message, hint=error.hint) from error
