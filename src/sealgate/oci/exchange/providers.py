"""Which cloud a registry belongs to, and its credentials from there.

Names are those of Kyverno's `imageRegistryCredentials.providers`. A registry belongs to a cloud by its whole name, compared
exactly: no port, no further label before or behind it. So no name that merely looks alike is ever given a token (T12).
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from sealgate.errors import CredentialsUnavailableError, UsageError

if TYPE_CHECKING:
    from sealgate.oci.exchange.ambient import Ambient, Exchanged

NAMES = ("amazon", "azure", "github", "google")
DEFAULT = "default"
"""The files and helpers of docker and podman (`oci.credentials`), which are no exchange."""


def parse(text: str) -> frozenset[str]:
    """Names of providers, separated by commas. Raises `UsageError`."""
    found = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not found or found - {DEFAULT, *NAMES}:
        raise UsageError("no provider of registry credentials", hint=", ".join((*NAMES, DEFAULT)))
    return found - {DEFAULT}


def parse_all(texts: Iterable[str]) -> frozenset[str]:
    """The names of several such texts together; none of none. Raises `UsageError`."""
    return frozenset().union(*(parse(text) for text in texts))


def key(provider: str, registry: str) -> str | None:
    """What a provider's credentials of a canonical registry (`Reference.registry`) are kept under; None: not its registry."""
    return _module(provider).key(registry)  # type: ignore[no-any-return]


async def exchange(provider: str, registry: str, *, ambient: Ambient) -> Exchanged | None:
    """Credentials of a canonical registry from a provider, asked for anew; None when the registry is not the provider's.

    Raises `CredentialsMissingError`, `CredentialsRefusedError`, `CredentialsUnavailableError`: then the registry cannot be
    asked. To ask it without credentials instead is for nobody to decide here.
    """
    module = _module(provider)
    if module.key(registry) is None:
        return None
    found: Exchanged = await module.exchange(registry, ambient)
    if found.expires <= ambient.clock():
        raise CredentialsUnavailableError(
            f"the credentials of {registry} that {provider} gives have ended",
            hint="is the clock of this machine right?",
        )
    return found


def _module(provider: str) -> ModuleType:
    if provider == "amazon":
        from sealgate.oci.exchange import amazon

        return amazon
    if provider == "azure":
        from sealgate.oci.exchange import azure

        return azure
    if provider == "github":
        from sealgate.oci.exchange import github

        return github
    if provider == "google":
        from sealgate.oci.exchange import google

        return google
    raise UsageError(f"no provider of registry credentials: {provider[:40]!a}", hint=", ".join(NAMES))
