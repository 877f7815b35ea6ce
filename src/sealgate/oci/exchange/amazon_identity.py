"""Who asks Amazon: the access key that is around, looked for in the order of Amazon's own libraries.

1. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
2. a service account's token (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), exchanged at STS
3. a container's (`AWS_CONTAINER_CREDENTIALS_FULL_URI`, EKS pod identity; `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, ECS)
4. the machine's (IMDSv2)

The first that is there is the one that counts: where it fails, no other identity is tried. Profiles in `~/.aws` are not read.

Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; STS, `AssumeRoleWithWebIdentity`; EC2, "Use
IMDSv2".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from sealgate.errors import CredentialsMissingError, ProtocolError
from sealgate.oci.exchange import asking
from sealgate.oci.exchange.asking import Service
from sealgate.oci.exchange.signature import Keys
from sealgate.transport import flow
from sealgate.transport.message import Url
from sealgate.transport.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sealgate.oci.exchange.ambient import Ambient

REGION = "[a-z]{2,4}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}"
"""A region's name: `eu-central-1`, `us-gov-west-1`. One label of a host name, whatever it is."""
_CONTAINER = "169.254.170.2"
_CONTAINERS = frozenset({_CONTAINER, "169.254.170.23", "fd00:ec2::23", "::1"})
"""Where plain http is spoken to; besides, all of 127.0.0.0/8."""
_MACHINE = "169.254.169.254"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_HINT = "is this a machine of Amazon with a role, and may containers reach its IMDSv2 (hop limit 2)? On EKS, give the service account a role"


async def keys(ambient: Ambient, *, region: str) -> Keys:
    """The key to sign with. `region`: where STS is asked if nothing else says. Raises the errors of this room."""
    identifier, secret = ambient.variable("AWS_ACCESS_KEY_ID"), ambient.variable("AWS_SECRET_ACCESS_KEY")
    if identifier or secret:
        if not (identifier and secret):
            raise CredentialsMissingError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
        return Keys(identifier, secret, ambient.variable("AWS_SESSION_TOKEN"))
    if ambient.path("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return await _of_service_account(ambient, region)
    if ambient.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or ambient.variable(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    ):
        return await _of_container(ambient)
    if ambient.variable("AWS_EC2_METADATA_DISABLED").lower() == "true":
        raise CredentialsMissingError(
            "credentials of the registry are to be Amazon's, and nothing around says who asks",
            hint="AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE, or a pod identity; AWS_EC2_METADATA_DISABLED is set",
        )
    return await _of_machine(ambient)


async def _of_service_account(ambient: Ambient, region: str) -> Keys:
    role = ambient.variable("AWS_ROLE_ARN")
    if not role:
        raise CredentialsMissingError("AWS_WEB_IDENTITY_TOKEN_FILE needs AWS_ROLE_ARN")
    path = ambient.path("AWS_WEB_IDENTITY_TOKEN_FILE")
    where = ambient.variable("AWS_REGION") or ambient.variable("AWS_DEFAULT_REGION") or region
    if re.fullmatch(REGION, where) is None:
        raise CredentialsMissingError("AWS_REGION or AWS_DEFAULT_REGION is no region")
    suffix = ".cn" if where.startswith("cn-") else ""
    service = Service(
        "Amazon's STS", Url("https", f"sts.{where}.amazonaws.com{suffix}", 443, "/"),
        hint="does the role trust this service account?",
    )  # fmt: skip
    fields = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": ambient.variable("AWS_ROLE_SESSION_NAME") or "sealgate",
        # The kubelet renews it: it is read anew each time.
        "WebIdentityToken": await flow.call(lambda: ambient.text(path, "AWS_WEB_IDENTITY_TOKEN_FILE")),
    }
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    response = await asking.ask(service, "POST", headers=headers, body=urlencode(fields).encode("ascii"))
    return _checked(service, _elements(response.body), ambient.clock(), session="SessionToken")


def _elements(body: bytes) -> dict[str, str]:
    """The four elements that are wanted of STS's answer; each once, its text without markup.

    No more of XML is read: nothing in it can then be an entity or a declaration.
    """
    found: dict[str, str] = {}
    for name, text in re.findall(rb"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([!-~]*?)</\1>", body):
        known = found.setdefault(name.decode(), text.decode())
        if known != text.decode() or "<" in known or "&" in known:
            return {}
    return found


async def _of_container(ambient: Ambient) -> Keys:
    relative = ambient.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        if not relative.startswith("/"):
            raise CredentialsMissingError("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'")
        text = f"http://{_CONTAINER}{relative}"
    else:
        text = ambient.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    try:
        url = parse_url(text)
    except ProtocolError:
        raise CredentialsMissingError("AWS_CONTAINER_CREDENTIALS_FULL_URI is no address") from None
    plain = url.scheme == "http"
    if plain and url.host not in _CONTAINERS and re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", url.host) is None:
        raise CredentialsMissingError(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI leads by plain http to where no credentials of containers are",
            hint=", ".join(sorted(_CONTAINERS)),
        )
    service = Service("Amazon's credentials of containers", url, own=plain)
    path = ambient.path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if path:
        # The whole value of the header, which may be two words ("Basic …").
        token = await flow.call(lambda: ambient.text(path, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", words=True))
    else:
        token = ambient.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", words=True)
    headers = (("Accept", "application/json"), *((("Authorization", token),) if token else ()))
    answer = asking.document(service, await asking.ask(service, "GET", headers=headers))
    return _checked(service, answer, ambient.clock(), session="Token")


async def _of_machine(ambient: Ambient) -> Keys:
    def service(target: str) -> Service:
        return Service("Amazon's metadata service", Url("http", _MACHINE, 80, target), own=True, hint=_HINT)

    first = service("/latest/api/token")
    lifetime = (("X-aws-ec2-metadata-token-ttl-seconds", "60"),)
    token = (await asking.ask(first, "PUT", headers=lifetime)).body.decode("ascii", "replace").strip()
    if re.fullmatch("[!-~]+", token) is None:
        raise first.invalid("gives no token of a session")
    headers = (("X-aws-ec2-metadata-token", token),)
    listed = service(_ROLES)
    names = (await asking.ask(listed, "GET", headers=headers)).body.decode("ascii", "replace").split("\n")
    role = names[0].strip()
    if re.fullmatch(r"[\w+=,.@-]{1,64}", role, re.ASCII) is None:
        raise listed.invalid("names no role")
    named = service(_ROLES + quote(role, safe=""))
    answer = asking.document(named, await asking.ask(named, "GET", headers=headers))
    return _checked(named, answer, ambient.clock(), session="Token")


def _checked(service: Service, answer: Mapping[str, Any], now: float, *, session: str) -> Keys:
    """A temporary key, which holds now. Raises `CredentialsUnavailableError`."""
    found = Keys(*(asking.secret(service, answer, name) for name in ("AccessKeyId", "SecretAccessKey", session)))
    try:
        ends = datetime.fromisoformat(asking.secret(service, answer, "Expiration"))
    except ValueError:
        raise service.invalid("does not say until when its key holds") from None
    if ends.tzinfo is None or ends.timestamp() <= now:
        raise service.invalid("gives a key that has ended, or a clock is wrong")
    return found
