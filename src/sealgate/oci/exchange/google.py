"""Google's registries: Artifact Registry (`REGION-docker.pkg.dev`) and what was Container Registry (`gcr.io`, `REGION.gcr.io`).

An access token is the password there. It comes from the file that `GOOGLE_APPLICATION_CREDENTIALS` names (a service account's
key, or a workload of another place that Google believes), else from the machine or pod (metadata server).

Sources: Artifact Registry, "Configure authentication to Artifact Registry for Docker"; Google, "Using OAuth 2.0 for server to
server applications"; RFC 7523; AIP-4117 (external accounts); Compute Engine, "About VM metadata".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.errors import ContentError, CredentialsMissingError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange import asking, text
from sealgate.oci.exchange.ambient import Ambient, Exchanged
from sealgate.oci.exchange.asking import Service
from sealgate.transport import flow
from sealgate.transport.message import Url

if TYPE_CHECKING:
    from collections.abc import Mapping

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?"
_REGISTRY = re.compile(rf"{_LABEL}-docker\.pkg\.dev|(?:{_LABEL}\.)?gcr\.io")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SCOPE_OF_IAM = "https://www.googleapis.com/auth/iam"
"""Enough for a token that gets another one."""
_METADATA = "169.254.169.254"
"""By its address, as Google's own libraries ask it: no name server can then lead elsewhere."""
_TOKENS = Url("https", "oauth2.googleapis.com", 443, "/token")
_TOKEN_ADDRESSES = frozenset(
    {str(_TOKENS), "https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token"}
)
"""What key files name; all of them mean the one that is asked."""
_STS = Url("https", "sts.googleapis.com", 443, "/v1/token")
_ACCOUNT = re.compile(
    r"https://iamcredentials\.googleapis\.com(/v1/projects/-/serviceAccounts/[A-Za-z0-9@._-]{1,255}:generateAccessToken)"
)
_FILE = "the file that GOOGLE_APPLICATION_CREDENTIALS names"


def key(registry: str) -> str | None:
    """What credentials of this registry are kept under (one for all of them); None: not Google's."""
    return "google" if _REGISTRY.fullmatch(registry) else None


async def exchange(registry: str, ambient: Ambient) -> Exchanged:
    """An access token as a password. Raises the errors of this room."""
    path = ambient.path("GOOGLE_APPLICATION_CREDENTIALS")
    if not path:
        return await _of_machine(ambient)
    described = await flow.call(lambda: _document(ambient.document(path, _FILE)))
    if described.get("type") == "service_account":
        return await _of_key(described, ambient)
    if described.get("type") == "external_account":
        return await _of_elsewhere(described, ambient)
    raise CredentialsMissingError(
        f"credentials of {registry} are to be Google's, and {_FILE} is of a kind that is not used here",
        hint="service_account or external_account",
    )


def _document(raw: bytes) -> dict[str, Any]:
    try:
        return strictjson.parse_object(raw, limit=limits.EXCHANGE_BODY_BYTES, what=_FILE)
    except ContentError:
        raise CredentialsMissingError(f"{_FILE} is no JSON object") from None


def _field(described: Mapping[str, Any], name: str) -> str:
    found = described.get(name)
    if not isinstance(found, str) or not found:
        raise CredentialsMissingError(f"{_FILE} has no '{name}'")
    return found


async def _of_machine(ambient: Ambient) -> Exchanged:
    """The token of the machine's, or the pod's, own service account."""
    target = "/computeMetadata/v1/instance/service-accounts/default/token"
    service = Service(
        "Google's metadata server", Url("http", _METADATA, 80, target), own=True,
        hint="is this a machine of Google with a service account? Elsewhere GOOGLE_APPLICATION_CREDENTIALS names a file",
    )  # fmt: skip
    response = await asking.ask(service, "GET", headers=(("Metadata-Flavor", "Google"),))
    if response.header("metadata-flavor") != "Google":
        raise service.invalid("does not answer as Google's does")
    return _token(service, asking.document(service, response), ambient)


async def _of_key(described: Mapping[str, Any], ambient: Ambient) -> Exchanged:
    """A service account shows by its key who it is."""
    place = described.get("token_uri", str(_TOKENS))
    if not isinstance(place, str) or place not in _TOKEN_ADDRESSES:
        raise CredentialsMissingError(f"{_FILE} names a 'token_uri' that is not Google's")
    email, pem = _field(described, "client_email"), _field(described, "private_key")
    identifier = described.get("private_key_id")
    now = int(ambient.clock())
    claims = {"iss": email, "scope": _SCOPE, "aud": str(_TOKENS), "iat": now, "exp": now + 3600}
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": identifier} if isinstance(identifier, str) else {})
    assertion = await flow.call(lambda: _signed(header, claims, pem))
    service = Service("Google's token service", _TOKENS, hint="is the key still one of the account's?")
    fields = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    return _token(service, await asking.ask_form(service, fields), ambient)


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any], pem: str) -> str:
    """A JWT (RFC 7515, compact) under an RSA key."""
    import json

    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < limits.RSA_BITS_MIN:
        raise CredentialsMissingError(f"{_FILE} holds no RSA key that can be used")
    signed = ".".join(text.encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{signed}.{text.encode(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


async def _of_elsewhere(described: Mapping[str, Any], ambient: Ambient) -> Exchanged:
    """A token of another place, which lies in a file, is exchanged for one of Google's. Google's addresses alone are asked."""
    if _field(described, "token_url") != str(_STS):
        raise CredentialsMissingError(f"{_FILE} names a 'token_url' that is not Google's")
    account = described.get("service_account_impersonation_url")
    matched = _ACCOUNT.fullmatch(account) if isinstance(account, str) else None
    if account is not None and matched is None:
        raise CredentialsMissingError(f"{_FILE} names a 'service_account_impersonation_url' that is not Google's")
    service = Service("Google's STS", _STS, hint="does the workload identity pool believe this token?")
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "audience": _field(described, "audience"),
        "scope": _SCOPE if matched is None else _SCOPE_OF_IAM,
        "subject_token_type": _field(described, "subject_token_type"),
        "subject_token": await flow.call(lambda: _subject(described.get("credential_source"), ambient)),
    }
    answer = await asking.ask_form(service, fields)
    if matched is None:
        return _token(service, answer, ambient)
    return await _as_account(matched[1], asking.secret(service, answer, "access_token"))


def _subject(source: Any, ambient: Ambient) -> str:
    """The token of the other place. Only a file is read: no program is run, and no other address asked."""
    path = source.get("file") if isinstance(source, dict) else None
    if not isinstance(path, str) or not path:
        raise CredentialsMissingError(
            f"{_FILE} has a 'credential_source' that is not used here", hint='a file: {"file": "/var/run/…/token"}'
        )
    form = source.get("format") or {"type": "text"}
    what = "the file that 'credential_source' names"
    if not isinstance(form, dict) or form.get("type") not in ("text", "json"):
        raise CredentialsMissingError(f"{_FILE} has a 'credential_source' of no format that is read")
    if form["type"] == "text":
        return ambient.text(path, what)
    try:
        found = strictjson.parse_object(ambient.document(path, what), limit=limits.EXCHANGE_BODY_BYTES, what=what)
    except ContentError:
        found = {}
    token = found.get(str(form.get("subject_token_field_name")))
    if not isinstance(token, str) or re.fullmatch("[!-~]+", token) is None:
        raise CredentialsMissingError(f"{what} holds no token")
    return token


async def _as_account(target: str, token: str) -> Exchanged:
    """A token of a service account that may be impersonated."""
    import json
    from datetime import datetime

    service = Service(
        "Google's IAM", Url("https", "iamcredentials.googleapis.com", 443, target),
        hint="has the workload the role roles/iam.workloadIdentityUser on the account?",
    )  # fmt: skip
    headers = (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))
    body = json.dumps({"scope": [_SCOPE]}).encode()
    answer = asking.document(service, await asking.ask(service, "POST", headers=headers, body=body))
    try:
        ends = datetime.fromisoformat(asking.secret(service, answer, "expireTime"))
    except ValueError:
        ends = None
    if ends is None or ends.tzinfo is None:
        raise service.invalid("does not say until when its token holds")
    return Exchanged(_password(asking.secret(service, answer, "accessToken")), ends.timestamp())


def _token(service: Service, answer: Mapping[str, Any], ambient: Ambient) -> Exchanged:
    lifetime = asking.seconds(service, answer, "expires_in")
    return Exchanged(_password(asking.secret(service, answer, "access_token")), ambient.clock() + lifetime)


def _password(token: str) -> Credentials:
    return Credentials("oauth2accesstoken", token)
