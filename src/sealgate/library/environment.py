"""What the command line reads from the environment about registries, for callers that ask for the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sealgate.oci.host import RegistrySettings
from sealgate.transport.proxy import Proxies

if TYPE_CHECKING:
    from collections.abc import Mapping


class Environment(NamedTuple):
    """The settings of a client, from an environment."""

    registry: RegistrySettings
    proxies: Proxies
    signature_repository: str | None


def read(environ: Mapping[str, str]) -> Environment:
    """Credentials and realms, the proxies, COSIGN_REPOSITORY. Raises `UsageError` for a proxy that is none."""
    return Environment(
        RegistrySettings.from_environment(environ),
        Proxies.from_environment(environ),
        environ.get("COSIGN_REPOSITORY") or None,
    )
