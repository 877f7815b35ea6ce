"""GitHub's registry (`ghcr.io`): a token of GitHub is the password as it is.

Source: GitHub, "Working with the Container registry". The user name does not matter there beside a token.
"""

from __future__ import annotations

from sealgate import limits
from sealgate.errors import CredentialsMissingError
from sealgate.oci.credentials import Credentials
from sealgate.oci.exchange.ambient import Ambient, Exchanged


def key(registry: str) -> str | None:
    """What credentials of this registry are kept under; None: not GitHub's."""
    return "ghcr.io" if registry == "ghcr.io" else None


async def exchange(registry: str, ambient: Ambient) -> Exchanged:
    """The token around. Raises `CredentialsMissingError`."""
    token = ambient.variable("GITHUB_TOKEN") or ambient.variable("GH_TOKEN")
    if not token:
        raise CredentialsMissingError(
            f"credentials of {registry} are to be GitHub's, and there is no token",
            hint="GITHUB_TOKEN or GH_TOKEN, with the right read:packages",
        )
    name = ambient.variable("GITHUB_ACTOR") or "sealgate"
    if ":" in name:
        raise CredentialsMissingError("GITHUB_ACTOR holds a colon, which no user name may")
    return Exchanged(Credentials(name, token), ambient.clock() + limits.EXCHANGED_SECONDS_UNSAID)
