"""Sign container images and verify them, interoperably with cosign.

    import sealgate

    key = sealgate.PublicKey.from_pem(open("cosign.pub", "rb").read())
    verdict = await sealgate.verify("registry.example.com/app:1.0", keys=[key], require="any")
    if not verdict.accepted:
        raise SystemExit(verdict.summary)

Everything here is typed and documented in docs/library.md; `sealgate.blocking` has the same without asyncio. Names are
imported when they are first used (PEP 562), so that `import sealgate` costs nothing. What is not listed here is internal.
"""

from typing import TYPE_CHECKING

from sealgate._version import __version__

if TYPE_CHECKING:
    from sealgate import blocking, errors
    from sealgate.artifacts.copy import Copied
    from sealgate.digest import Digest
    from sealgate.errors import ContentError, KeyMaterialError, SealgateError, UnavailableError, UsageError
    from sealgate.evidence.statement import Statement
    from sealgate.keys.algorithms import PublicKey
    from sealgate.keys.private import PrivateKey
    from sealgate.keys.signer import Signer
    from sealgate.library.asked import CopyArguments, SignArguments, VerifyArguments
    from sealgate.library.attestations import (
        AttestArguments,
        VerifyAttestationArguments,
        attest_blob,
        verify_blob_attestation,
    )
    from sealgate.library.blobs import sign_blob, verify_blob
    from sealgate.library.client import (
        Client,
        attachments,
        attest,
        copy,
        resolve,
        sign,
        verify,
        verify_all,
        verify_attestation,
    )
    from sealgate.library.keyless import load_author
    from sealgate.library.keys import load_public_key, load_signer
    from sealgate.library.operations import Attachments
    from sealgate.library.trust import TrustArguments, identity, load_trust_root, parse_trust_root
    from sealgate.oci.attachments import Attachment
    from sealgate.oci.credentials import Credentials
    from sealgate.oci.host import RegistrySettings
    from sealgate.oci.reference import Reference
    from sealgate.signing.attest import Attestation
    from sealgate.signing.attest_blob import BlobAttestation
    from sealgate.signing.author import Author
    from sealgate.signing.blob import BlobSignature
    from sealgate.signing.sign import Signature
    from sealgate.transport.message import Tls
    from sealgate.transport.proxy import Proxies
    from sealgate.trust.identity import Identity, IdentityPattern
    from sealgate.trust.root import TrustRoot
    from sealgate.verification.attestation import Condition
    from sealgate.verification.checks import SignatureReport
    from sealgate.verification.deny import DenyList
    from sealgate.verification.deny import parse as parse_deny_list
    from sealgate.verification.findings import Finding
    from sealgate.verification.verdict import Verdict
else:

    def __getattr__(name: str) -> object:
        import importlib

        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = place.partition(":")
        found = importlib.import_module(module)
        if attribute:
            found = getattr(found, attribute)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)


_PLACES = {
    "Attachment": "sealgate.oci.attachments:Attachment",
    "Attachments": "sealgate.library.operations:Attachments",
    "AttestArguments": "sealgate.library.attestations:AttestArguments",
    "Attestation": "sealgate.signing.attest:Attestation",
    "Author": "sealgate.signing.author:Author",
    "BlobAttestation": "sealgate.signing.attest_blob:BlobAttestation",
    "BlobSignature": "sealgate.signing.blob:BlobSignature",
    "Client": "sealgate.library.client:Client",
    "Condition": "sealgate.verification.attestation:Condition",
    "ContentError": "sealgate.errors:ContentError",
    "Copied": "sealgate.artifacts.copy:Copied",
    "CopyArguments": "sealgate.library.asked:CopyArguments",
    "Credentials": "sealgate.oci.credentials:Credentials",
    "DenyList": "sealgate.verification.deny:DenyList",
    "Digest": "sealgate.digest:Digest",
    "Finding": "sealgate.verification.findings:Finding",
    "Identity": "sealgate.trust.identity:Identity",
    "IdentityPattern": "sealgate.trust.identity:IdentityPattern",
    "KeyMaterialError": "sealgate.errors:KeyMaterialError",
    "PrivateKey": "sealgate.keys.private:PrivateKey",
    "Proxies": "sealgate.transport.proxy:Proxies",
    "PublicKey": "sealgate.keys.algorithms:PublicKey",
    "Reference": "sealgate.oci.reference:Reference",
    "RegistrySettings": "sealgate.oci.host:RegistrySettings",
    "SealgateError": "sealgate.errors:SealgateError",
    "SignArguments": "sealgate.library.asked:SignArguments",
    "Signature": "sealgate.signing.sign:Signature",
    "SignatureReport": "sealgate.verification.checks:SignatureReport",
    "Signer": "sealgate.keys.signer:Signer",
    "Statement": "sealgate.evidence.statement:Statement",
    "Tls": "sealgate.transport.message:Tls",
    "TrustArguments": "sealgate.library.trust:TrustArguments",
    "TrustRoot": "sealgate.trust.root:TrustRoot",
    "UnavailableError": "sealgate.errors:UnavailableError",
    "UsageError": "sealgate.errors:UsageError",
    "Verdict": "sealgate.verification.verdict:Verdict",
    "VerifyArguments": "sealgate.library.asked:VerifyArguments",
    "VerifyAttestationArguments": "sealgate.library.attestations:VerifyAttestationArguments",
    "attachments": "sealgate.library.client:attachments",
    "attest": "sealgate.library.client:attest",
    "attest_blob": "sealgate.library.attestations:attest_blob",
    "blocking": "sealgate.blocking",
    "copy": "sealgate.library.client:copy",
    "errors": "sealgate.errors",
    "identity": "sealgate.library.trust:identity",
    "load_author": "sealgate.library.keyless:load_author",
    "load_public_key": "sealgate.library.keys:load_public_key",
    "load_signer": "sealgate.library.keys:load_signer",
    "load_trust_root": "sealgate.library.trust:load_trust_root",
    "parse_deny_list": "sealgate.verification.deny:parse",
    "parse_trust_root": "sealgate.library.trust:parse_trust_root",
    "resolve": "sealgate.library.client:resolve",
    "sign": "sealgate.library.client:sign",
    "sign_blob": "sealgate.library.blobs:sign_blob",
    "verify": "sealgate.library.client:verify",
    "verify_all": "sealgate.library.client:verify_all",
    "verify_attestation": "sealgate.library.client:verify_attestation",
    "verify_blob": "sealgate.library.blobs:verify_blob",
    "verify_blob_attestation": "sealgate.library.attestations:verify_blob_attestation",
}

__all__ = [
    "Attachment",
    "Attachments",
    "AttestArguments",
    "Attestation",
    "Author",
    "BlobAttestation",
    "BlobSignature",
    "Client",
    "Condition",
    "ContentError",
    "Copied",
    "CopyArguments",
    "Credentials",
    "DenyList",
    "Digest",
    "Finding",
    "Identity",
    "IdentityPattern",
    "KeyMaterialError",
    "PrivateKey",
    "Proxies",
    "PublicKey",
    "Reference",
    "RegistrySettings",
    "SealgateError",
    "SignArguments",
    "Signature",
    "SignatureReport",
    "Signer",
    "Statement",
    "Tls",
    "TrustArguments",
    "TrustRoot",
    "UnavailableError",
    "UsageError",
    "Verdict",
    "VerifyArguments",
    "VerifyAttestationArguments",
    "__version__",
    "attachments",
    "attest",
    "attest_blob",
    "blocking",
    "copy",
    "errors",
    "identity",
    "load_author",
    "load_public_key",
    "load_signer",
    "load_trust_root",
    "parse_deny_list",
    "parse_trust_root",
    "resolve",
    "sign",
    "sign_blob",
    "verify",
    "verify_all",
    "verify_attestation",
    "verify_blob",
    "verify_blob_attestation",
]
