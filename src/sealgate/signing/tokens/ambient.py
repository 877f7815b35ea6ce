"""The CI around, asked for an identity token through the `id` library (GitHub Actions, GitLab, CircleCI, Buildkite, Google).

`id` reads the process's own environment, speaks HTTP by itself (urllib3, with a time-out of 30 seconds) and may run the
CI's program; so it is called beside the flows, and imported only where a CI was seen. What it says when it fails may repeat an
answer, which could hold a token: it is not passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sealgate.errors import IssuerUnavailableError, TokenMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARKS = {
    "github-actions": "GITHUB_ACTIONS",
    "google": "GOOGLE_SERVICE_ACCOUNT_NAME",
    "buildkite-agent": "BUILDKITE",
    "gitlab": "GITLAB_CI",
    "circleci": "CIRCLECI",
}
"""The variable by which `id` knows each, in the order in which it asks them."""
_GOOGLE_MACHINE = "/sys/class/dmi/id/product_name"
_GOOGLE_NAMES = (b"Google", b"Google Compute Engine")
_HINTS = {
    "github-actions": "the job needs `permissions: id-token: write`",
    "gitlab": "the job needs `id_tokens:` with SIGSTORE_ID_TOKEN and `aud: sigstore`",
    "google": "is GOOGLE_SERVICE_ACCOUNT_NAME an account that this one may impersonate?",
}


def around(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Which CI this is: none or one, the first that `id` would ask."""
    for name, variable in _MARKS.items():
        if environ.get(variable) or (name == "google" and _is_google_machine()):
            # GitHub sets its mark in every job, and offers tokens only to those that may have one.
            if name == "github-actions" and not environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
                continue
            return (name,)
    return ()


def ask(provider: str, audience: str) -> str:
    """The token that this CI gives. Blocks. Raises `TokenMissingError`, `IssuerUnavailableError`."""
    import id as ids

    try:
        found = ids.detect_credential(audience)
    except ids.GitHubOidcPermissionCredentialError:
        _none(provider)
    except Exception:  # noqa: BLE001 - `id` lets the errors of urllib3 and JSON through; none is shown, see above
        # The cause is dropped on purpose: its text may hold an answer.
        raise IssuerUnavailableError(
            f"{provider} gives no identity token for {audience!r}", hint=_HINTS.get(provider)
        ) from None
    return found if found is not None else _none(provider)


def _none(provider: str) -> NoReturn:
    raise TokenMissingError(f"{provider} offers no identity token to this job", hint=_HINTS.get(provider))


def _is_google_machine() -> bool:
    try:
        with open(_GOOGLE_MACHINE, "rb") as file:
            return file.read(64).strip() in _GOOGLE_NAMES
    except OSError:
        return False
