"""Who signs: the claims of an identity token, and what a certificate says of them (Fulcio's oid-info.md).

Fulcio is told by its configuration which kind of issuer it is talking to; here the claims themselves show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509

from trust_service import der

ARC = "1.3.6.1.4.1.57264.1"
EMAIL = "signer@example.test"
WORKFLOW = "https://github.test/acme/app/.github/workflows/release.yml@refs/heads/main"

_GITHUB = {  # claim: extensions, the old raw ones and the new ones
    "event_name": ("2", "20"),
    "sha": ("3", "13"),
    "workflow": ("4",),
    "repository": ("5",),
    "ref": ("6", "14"),
    "workflow_sha": ("10", "19"),
    "runner_environment": ("11",),
    "repository_id": ("15",),
    "repository_owner_id": ("17",),
    "repository_visibility": ("22",),
    "environment": ("23",),
}
_RAW = {"1", "2", "3", "4", "5", "6"}


def claims_of(identity: str | Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a token: of an e-mail address, of a URI, of a name, or as they are given."""
    if not isinstance(identity, str):
        return dict(identity)
    if "://" in identity:
        return {"sub": identity}
    if "@" in identity:
        return {"sub": f"id-of-{identity.partition('@')[0]}", "email": identity, "email_verified": True}
    return {"sub": identity}


def github(**changed: Any) -> dict[str, Any]:
    """The claims of a GitHub Actions job; its certificate is for `WORKFLOW`."""
    return {
        "sub": "repo:acme/app:ref:refs/heads/main",
        "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
        "workflow": "release",
        "event_name": "push",
        "sha": "1111111111111111111111111111111111111111",
        "workflow_sha": "2222222222222222222222222222222222222222",
        "repository": "acme/app",
        "repository_id": "1001",
        "repository_owner": "acme",
        "repository_owner_id": "2002",
        "repository_visibility": "public",
        "ref": "refs/heads/main",
        "run_id": "3003",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
        "environment": "production",
    } | changed


def kubernetes(namespace: str = "build", account: str = "signer") -> dict[str, Any]:
    """The claims of a service account's token."""
    return {
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account}, "pod": {"name": "job-1"}},
    }


def name_of(claims: Mapping[str, Any]) -> x509.GeneralName:
    """The subject alternative name. Raises KeyError where a claim is missing."""
    if "email" in claims:
        return x509.RFC822Name(claims["email"])
    if "job_workflow_ref" in claims:
        return x509.UniformResourceIdentifier(f"https://github.test/{claims['job_workflow_ref']}")
    if "kubernetes.io" in claims:
        account = claims["kubernetes.io"]
        path = f"namespaces/{account['namespace']}/serviceaccounts/{account['serviceaccount']['name']}"
        return x509.UniformResourceIdentifier(f"https://kubernetes.io/{path}")
    if "://" in claims["sub"]:
        return x509.UniformResourceIdentifier(claims["sub"])
    return x509.OtherName(x509.ObjectIdentifier(f"{ARC}.7"), der.utf8(f"{claims['sub']}!example.test"))


def extensions_of(claims: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """Fulcio's extensions: (OID, DER)."""
    texts = {"1": claims["iss"], "8": claims["iss"], "24": claims["sub"]}
    for claim, arcs in _GITHUB.items():
        if claim in claims:
            texts |= dict.fromkeys(arcs, claims[claim])
    if "job_workflow_ref" in claims:
        site = "https://github.test"
        texts |= {
            "9": f"{site}/{claims['job_workflow_ref']}",
            "12": f"{site}/{claims['repository']}",
            "16": f"{site}/{claims['repository_owner']}",
            "18": f"{site}/{claims['workflow_ref']}",
            "21": f"{site}/{claims['repository']}/actions/runs/{claims['run_id']}/attempts/{claims['run_attempt']}",
        }
    arcs = sorted(texts, key=int)
    return tuple((f"{ARC}.{arc}", texts[arc].encode() if arc in _RAW else der.utf8(texts[arc])) for arc in arcs)
