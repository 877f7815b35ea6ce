"""Azure's registries (`NAME.azurecr.io`): a workload's or a machine's identity, exchanged at the registry for a refresh token.

Sources: Azure Container Registry, "Integration with Azure Active Directory" (AAD-OAuth: `/oauth2/exchange`); Microsoft identity
platform, "Client credentials flow", third case (a federated credential), and "Workload identity in AKS" (the variables);
"Managed identities: use a token in a virtual machine".
"""

from __future__ import annotations

import re
from urllib.parse import quote

from sealgate import limits, strictjson
from sealgate.errors import ContentError, CredentialsMissingError, ProtocolError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange import asking, text
from sealgate.oci.exchange.ambient import Ambient, Exchanged
from sealgate.oci.exchange.asking import Service
from sealgate.transport import flow
from sealgate.transport.message import Url
from sealgate.transport.url import parse_url

_AUTHORITY = {
    "io": "login.microsoftonline.com",
    "cn": "login.partner.microsoftonline.cn",
    "us": "login.microsoftonline.us",
}
"""Who signs in, by the registry's cloud, where AZURE_AUTHORITY_HOST does not say."""
_AUTHORITIES = frozenset(_AUTHORITY.values()) | {"login.chinacloudapi.cn"}
_AUDIENCE = "https://containerregistry.azure.net"
"""For whom the token is made that a registry exchanges: registries alone, so that it is good for nothing else."""
_REGISTRY = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.azurecr\.(io|cn|us)")
_METADATA = "169.254.169.254"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HINT = "has the identity the role AcrPull on the registry?"


def key(registry: str) -> str | None:
    """What credentials of this registry are kept under; None: not Azure's."""
    return registry if _REGISTRY.fullmatch(registry) else None


async def exchange(registry: str, ambient: Ambient) -> Exchanged:
    """A refresh token of the registry. Raises the errors of this room."""
    cloud = registry.rpartition(".")[2]
    access = await (_of_workload(cloud, ambient) if _is_workload(ambient) else _of_machine(ambient))
    service = Service("the registry's exchange of tokens", Url("https", registry, 443, "/oauth2/exchange"), hint=_HINT)
    fields = {"grant_type": "access_token", "service": registry, "access_token": access}
    if tenant := ambient.variable("AZURE_TENANT_ID"):
        fields["tenant"] = tenant
    answer = await asking.ask_form(service, fields)
    token = asking.secret(service, answer, "refresh_token")
    return Exchanged(Credentials(identity_token=token), _expires(token, ambient))


def _is_workload(ambient: Ambient) -> bool:
    return bool(ambient.path("AZURE_FEDERATED_TOKEN_FILE"))


async def _of_workload(cloud: str, ambient: Ambient) -> str:
    """An access token for the identity whose token lies in a file."""
    path = ambient.path("AZURE_FEDERATED_TOKEN_FILE")
    tenant, client = ambient.variable("AZURE_TENANT_ID"), ambient.variable("AZURE_CLIENT_ID")
    if re.fullmatch("[A-Za-z0-9.-]{1,255}", tenant) is None or not client:
        raise CredentialsMissingError(
            "AZURE_FEDERATED_TOKEN_FILE needs AZURE_TENANT_ID and AZURE_CLIENT_ID",
            hint="Azure's workload identity webhook sets all three",
        )
    url = _authority(cloud, ambient)._replace(target=f"/{tenant}/oauth2/v2.0/token")
    service = Service("Microsoft's sign-in", url, hint="does the federated credential name this service account?")
    fields = {
        "grant_type": "client_credentials",
        "client_id": client,
        "scope": f"{_AUDIENCE}/.default",
        "client_assertion_type": _ASSERTION,
        # The kubelet renews it: it is read anew each time.
        "client_assertion": await flow.call(lambda: ambient.text(path, "AZURE_FEDERATED_TOKEN_FILE")),
    }
    return asking.secret(service, await asking.ask_form(service, fields), "access_token")


def _authority(cloud: str, ambient: Ambient) -> Url:
    """Who signs in: Microsoft and nobody else, since the workload's token goes there."""
    try:
        url = parse_url(ambient.variable("AZURE_AUTHORITY_HOST") or f"https://{_AUTHORITY[cloud]}/")
    except ProtocolError:
        raise CredentialsMissingError("AZURE_AUTHORITY_HOST is no address") from None
    if url.scheme != "https" or url.port != 443 or url.host not in _AUTHORITIES:
        raise CredentialsMissingError(
            "AZURE_AUTHORITY_HOST names a host that is not Microsoft's", hint=", ".join(sorted(_AUTHORITIES))
        )
    return url


async def _of_machine(ambient: Ambient) -> str:
    """An access token for the machine's managed identity."""
    target = f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource={quote(_AUDIENCE, safe='')}"
    if client := ambient.variable("AZURE_CLIENT_ID"):
        target += f"&client_id={quote(client, safe='')}"
    service = Service(
        "Azure's metadata service", Url("http", _METADATA, 80, target), own=True,
        hint="is this a machine of Azure with a managed identity? With workload identity, AZURE_FEDERATED_TOKEN_FILE is set",
    )  # fmt: skip
    answer = asking.document(service, await asking.ask(service, "GET", headers=(("Metadata", "true"),)))
    return asking.secret(service, answer, "access_token")


def _expires(token: str, ambient: Ambient) -> float:
    """When a refresh token ends: what it says of itself (RFC 7519, `exp`). It is no proof of anything, and needs none."""
    try:
        payload = text.decode([*token.split("."), ""][1]).encode()
        ends = strictjson.parse_object(payload, limit=limits.EXCHANGE_BODY_BYTES, what="a token").get("exp")
    except ContentError:
        ends = None
    return (
        float(ends) if isinstance(ends, int) and 0 < ends < 1e11 else ambient.clock() + limits.EXCHANGED_SECONDS_UNSAID
    )
