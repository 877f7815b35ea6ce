"""What the webhook is given as files: the operator's own in its ConfigMap, credentials in Secrets that are there already. Pure.

No credential passes through the installation: a Secret is named, and mounted. What goes into the ConfigMap is public, and is
looked at first, so that no replica fails for it.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Any, NamedTuple

from sealgate.errors import SealgateError, UsageError
from sealgate.trust import root as roots
from sealgate.verification import deny

_FOLDER = "/trust"
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?){0,8}")


class Files(NamedTuple):
    """What the operator gives, or names."""

    trusted_root: bytes = b""
    """Whom to believe where policies do not say it."""
    deny: bytes = b""
    """What is refused whatever else holds."""
    registry_ca: bytes = b""
    """The authorities of registries (PEM), in place of the system's."""
    client_ca: bytes = b""
    """The authorities of those who may ask for reviews (PEM)."""
    registry_secret: str | None = None
    """Credentials for registries: a Secret of type `kubernetes.io/dockerconfigjson`."""
    registry_client_secret: str | None = None
    """A certificate for registries: a Secret of type `kubernetes.io/tls`."""


class _Kept(NamedTuple):
    option: str
    file: str
    content: bytes


def _kept(files: Files) -> list[_Kept]:
    every = (
        _Kept("trusted-root", "trusted_root.json", files.trusted_root), _Kept("deny", "deny", files.deny),
        _Kept("registry-cacert", "registry-ca.crt", files.registry_ca),
        _Kept("client-ca", "client-ca.crt", files.client_ca),
    )  # fmt: skip
    return [each for each in every if each.content]


def check(files: Files) -> None:
    """Raise `UsageError` for what a replica could not be started with."""
    try:
        if files.trusted_root:
            roots.parse(files.trusted_root)
    except SealgateError as error:
        raise UsageError(f"--trusted-root: {error.message}") from error
    if files.deny:
        deny.parse(files.deny, what="--deny")
    for option, content in (("--registry-cacert", files.registry_ca), ("--client-ca", files.client_ca)):
        if content:
            _authorities(option, content)
    for option, name in (
        ("--registry-secret", files.registry_secret), ("--registry-client-secret", files.registry_client_secret),
    ):  # fmt: skip
        if name is not None and (len(name) > 253 or _NAME.fullmatch(name) is None):
            raise UsageError(f"{option} names no Secret", hint="its name alone; it is in the webhook's own namespace")


def _authorities(option: str, content: bytes) -> None:
    if b"PRIVATE KEY" in content:
        raise UsageError(f"{option} has a private key, which anybody could read in a ConfigMap")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"{option} holds no certificates in PEM") from error


def data(files: Files) -> dict[str, str]:
    """What the ConfigMap has; empty: none is needed."""
    return {each.file: each.content.decode() for each in _kept(files)}


def fingerprints(files: Files) -> dict[str, str]:
    """Annotations of the Pods: these files are read once, so others make other Pods."""
    return {f"sealgate.dev/{each.option}": hashlib.sha256(each.content).hexdigest() for each in _kept(files)}


def words(files: Files) -> tuple[str, ...]:
    """For `admission serve`."""
    found = [word for each in _kept(files) for word in (f"--{each.option}", f"{_FOLDER}/{each.file}")]
    if files.registry_secret is not None:
        found += ["--registry-config", "/registry"]
    if files.registry_client_secret is not None:
        found += [
            "--registry-client-cert",
            "/registry-client/tls.crt",
            "--registry-client-key",
            "/registry-client/tls.key",
        ]
    return tuple(found)


def mounted(files: Files, config_map: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Volumes, and where they are mounted: to be read only, and no more of a Secret than is needed."""
    found = []
    if _kept(files):
        found.append(({"name": "trust", "configMap": {"name": config_map}}, _mount("trust", _FOLDER)))
    if files.registry_secret is not None:
        items = [{"key": ".dockerconfigjson", "path": "config.json"}]
        secret = {"secretName": files.registry_secret, "items": items}
        found.append(({"name": "registry", "secret": secret}, _mount("registry", "/registry")))
    if files.registry_client_secret is not None:
        items = [{"key": name, "path": name} for name in ("tls.crt", "tls.key")]
        secret = {"secretName": files.registry_client_secret, "items": items}
        found.append(({"name": "registry-client", "secret": secret}, _mount("registry-client", "/registry-client")))
    return found


def _mount(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "mountPath": path, "readOnly": True}
