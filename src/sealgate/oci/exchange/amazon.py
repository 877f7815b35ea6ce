"""Amazon's registries: ECR (`ACCOUNT.dkr.ecr.REGION.amazonaws.com`) and ECR Public (`public.ecr.aws`).

Sources: Amazon ECR and Amazon ECR Public API references, `GetAuthorizationToken` (the password holds for every registry that
the caller may read, for twelve hours); "Amazon ECR endpoints and quotas". Who asks is for `amazon_identity`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sealgate.errors import ContentError, CredentialsUnavailableError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange import amazon_identity, asking, signature
from sealgate.oci.exchange.ambient import Ambient, Exchanged
from sealgate.oci.exchange.asking import Service
from sealgate.transport.message import Url

PUBLIC = "public.ecr.aws"
_REGISTRY = re.compile(
    rf"[0-9]{{12}}\.dkr\.ecr(?P<fips>-fips)?\.(?P<region>{amazon_identity.REGION})\.amazonaws\.com(?P<china>\.cn)?"
)
_CHINA = "cn-"


class _Place(NamedTuple):
    """Where a registry's credentials are asked for."""

    host: str
    region: str
    signed_as: str
    """The service that the signature names."""
    target: str
    """The operation."""


def key(registry: str) -> str | None:
    """What credentials of this registry are kept under (they are those of all in one region); None: not Amazon's."""
    place = _place(registry)
    return place.host if place is not None else None


async def exchange(registry: str, ambient: Ambient) -> Exchanged:
    """A password of the registry. Raises the errors of this room."""
    place = _place(registry)
    if place is None:
        raise CredentialsUnavailableError(f"{registry} is no registry of Amazon's")
    keys = await amazon_identity.keys(ambient, region=place.region)
    service = Service(
        "Amazon's registry service", Url("https", place.host, 443, "/"),
        hint="does the identity's policy allow ecr:GetAuthorizationToken?" if registry != PUBLIC else
        "does the identity's policy allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken?",
    )  # fmt: skip
    body = b"{}"
    headers = signature.sign(
        "POST", service.url, (("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", place.target)), body,
        keys=keys, region=place.region, service=place.signed_as, now=ambient.clock(),
    )  # fmt: skip
    answer = asking.document(service, await asking.ask(service, "POST", headers=headers, body=body))
    return _read(service, answer)


def _place(registry: str) -> _Place | None:
    if registry == PUBLIC:
        return _Place(
            "api.ecr-public.us-east-1.amazonaws.com", "us-east-1", "ecr-public",
            "SpencerFrontendService.GetAuthorizationToken",
        )  # fmt: skip
    matched = _REGISTRY.fullmatch(registry)
    if matched is None or bool(matched["china"]) != matched["region"].startswith(_CHINA):
        return None
    name = "ecr-fips" if matched["fips"] else "api.ecr"
    return _Place(
        f"{name}.{matched['region']}.amazonaws.com{matched['china'] or ''}", matched["region"], "ecr",
        "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
    )  # fmt: skip


def _read(service: Service, answer: dict[str, Any]) -> Exchanged:
    """The user name and password of an answer: base64 of `AWS:password`."""
    from sealgate.oci.exchange.text import decode

    data = answer.get("authorizationData")
    if isinstance(data, list):
        data = data[0] if len(data) == 1 else None
    if not isinstance(data, dict):
        raise service.invalid("gives an answer without 'authorizationData'")
    token = asking.secret(service, data, "authorizationToken")
    try:
        name, colon, password = decode(token).partition(":")
    except ContentError:
        colon = password = name = ""
    if not colon or not name or not password:
        raise service.invalid("gives an answer without a password")
    return Exchanged(Credentials(name, password), asking.seconds(service, data, "expiresAt"))
