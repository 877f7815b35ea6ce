"""Where an identity token comes from, and which place is asked first.

1. What was given: `--identity-token`, a token or the path of a file.
2. What lies around (unless `--oidc-disable-ambient-providers`): SIGSTORE_ID_TOKEN, the file that cosign reads, the CI around,
   SPIFFE, the service account of a Kubernetes pod.
3. Somebody signs in: with a browser, with a code on another device, or a service with its secret.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sealgate import limits
from sealgate.errors import IdentityTokenError, SealgateError, TokenMissingError, UsageError
from sealgate.signing.tokens import token as tokens
from sealgate.transport import flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sealgate.signing.tokens.token import IdentityToken

FILE = "/var/run/sigstore/cosign/oidc-token"
"""cosign's place for a token that somebody else puts there: a projected volume of Kubernetes, a sidecar."""
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
CI = ("github-actions", "gitlab", "circleci", "buildkite-agent", "google")
PROVIDERS = ("envvar", "filesystem", *CI, "spiffe", "kubernetes")
"""cosign's names, and ours where it has none."""
FLOWS = ("normal", "device", "token", "client_credentials")
ISSUER = "https://oauth2.sigstore.dev/auth"
"""cosign's: the public one."""
AUDIENCE = "sigstore"


class Wanted(NamedTuple):
    """How a token is to be had."""

    given: str | None = None
    """A token, or the path of a file that has one."""
    provider: str | None = None
    """The only one of `PROVIDERS` that is asked."""
    ambient: bool = True
    flow: str | None = None
    """One of `FLOWS`; None: with a browser where somebody sits at a terminal, else with a code."""
    issuer: str = ISSUER
    """Where somebody signs in."""
    client_id: str = AUDIENCE
    """Who asks there, and the audience of the token."""
    client_secret: str = ""
    redirect_url: str | None = None

    def __repr__(self) -> str:
        return f"Wanted(…, issuer={self.issuer!r}, client_id={self.client_id!r}, …)"


async def find(
    wanted: Wanted,
    environ: Mapping[str, str],
    *,
    interactive: bool,
    say: Callable[[str], None],
    now: float,
) -> IdentityToken:
    """A token that is valid and for the right audience.

    `say` shows a person where to sign in; `interactive`: somebody sits at a terminal. Raises `TokenMissingError` and the other
    `IdentityTokenError`s, `IssuerUnavailableError`, `IssuerRefusedError`, `UsageError`.
    """
    found = await _found(wanted, environ, say)
    if found is None:
        found = await _signed_in(wanted, interactive=interactive, say=say)
    found.check(audience=wanted.client_id, now=now)
    return found


async def _found(wanted: Wanted, environ: Mapping[str, str], say: Callable[[str], None]) -> IdentityToken | None:
    """(1) and (2)."""
    if wanted.given is not None:
        return given(wanted.given)
    if wanted.flow not in {None, "token"} and wanted.provider is None:
        return None  # somebody wants to sign in
    if not wanted.ambient:
        return None
    for provider in (wanted.provider,) if wanted.provider is not None else PROVIDERS:
        found = await _of_provider(provider, wanted, environ, named=wanted.provider is not None)
        if found is not None:
            if wanted.provider is None:
                say(f"Identity token: {_SAID[provider]}")
            return found
    return None


_SAID = {
    "envvar": "SIGSTORE_ID_TOKEN",
    "filesystem": FILE,
    "github-actions": "GitHub Actions",
    "gitlab": "GitLab CI",
    "circleci": "CircleCI",
    "buildkite-agent": "Buildkite",
    "google": "Google Cloud",
    "spiffe": "SPIFFE",
    "kubernetes": "the service account of the pod",
}


def given(text: str) -> IdentityToken:
    """A token, or the path of a file with one."""
    if tokens.looks_like(text):
        return tokens.parse(text, what="--identity-token")
    return _of_file(text, "the file of --identity-token", named=True) or _missing("--identity-token is empty")


async def _of_provider(
    provider: str, wanted: Wanted, environ: Mapping[str, str], *, named: bool
) -> IdentityToken | None:
    """What one provider has; None where there is none, and an error if it alone was `named`."""
    if provider == "envvar":
        text = environ.get("SIGSTORE_ID_TOKEN", "")
        if text.strip():
            return tokens.parse(text, what="SIGSTORE_ID_TOKEN")
        return _missing("SIGSTORE_ID_TOKEN is not set") if named else None
    if provider == "filesystem":
        return _of_file(FILE, FILE, named=named)
    if provider == "spiffe":
        return await _of_spiffe(wanted.client_id, environ, named=named)
    if provider == "kubernetes":
        return _of_service_account(wanted.client_id, named=named)
    from sealgate.signing.tokens import ambient

    if provider in ambient.around(environ):
        audience = wanted.client_id
        return tokens.parse(
            await flow.call(lambda: ambient.ask(provider, audience)), what=f"the token of {_SAID[provider]}"
        )
    return _missing(f"this is not {_SAID[provider]}: its variables are not set") if named else None


def _of_file(path: str, what: str, *, named: bool) -> IdentityToken | None:
    try:
        with open(path, "rb") as file:
            data = file.read(limits.TOKEN_BYTES + 1)
    except (OSError, ValueError) as error:
        if not named:
            return None
        # The path is not shown: it may be a token that was cut off.
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no path"
        raise TokenMissingError(f"{what} cannot be read, and it is no token: {reason}") from None
    if not data.strip():
        return _missing(f"{what} is empty") if named else None
    return tokens.parse(data.decode("utf-8", "replace"), what=what)


async def _of_spiffe(audience: str, environ: Mapping[str, str], *, named: bool) -> IdentityToken | None:
    """A JWT-SVID: in a file, as spiffe-helper writes it, or from the Workload API."""
    path = environ.get("SEALGATE_SPIFFE_JWT_SVID")
    if path:
        return _of_file(path, "the file of SEALGATE_SPIFFE_JWT_SVID", named=True)
    from sealgate.signing.tokens import spiffe

    endpoint = environ.get("SPIFFE_ENDPOINT_SOCKET")
    if not endpoint:
        # In a place where everybody may write, only if it was asked for.
        if not named or not os.path.exists(spiffe.DEFAULT.removeprefix("unix://")):
            return _missing("SPIFFE_ENDPOINT_SOCKET is not set") if named else None
        endpoint = spiffe.DEFAULT
    return tokens.parse(await flow.call(lambda: spiffe.fetch(endpoint, audience)), what="the JWT-SVID")


def _of_service_account(audience: str, *, named: bool) -> IdentityToken | None:
    """A pod's own token, where it was made for us; usually it is for the cluster's API alone."""
    try:
        found = _of_file(SERVICE_ACCOUNT, "the token of the service account", named=named)
    except IdentityTokenError:
        if named:
            raise
        return None
    if found is None or named:
        return found
    given = found.claims.get("aud")
    return found if audience in (given if isinstance(given, list) else [given]) else None


async def _signed_in(wanted: Wanted, *, interactive: bool, say: Callable[[str], None]) -> IdentityToken:
    """(3)."""
    from sealgate.signing.tokens import signin

    chosen = wanted.flow
    if chosen == "token":
        raise TokenMissingError("there is no identity token", hint="--identity-token FILE, or SIGSTORE_ID_TOKEN")
    if chosen is None:
        chosen = "normal" if interactive else "device"
        if not interactive:
            say("Non-interactive mode detected, using device flow.")
    client = signin.Client(wanted.issuer, wanted.client_id, wanted.client_secret)
    try:
        if chosen == "client_credentials":
            return await signin.as_service(client)
        if chosen == "device":
            return await signin.with_code(client, say)
        return await signin.with_browser(client, wanted.redirect_url, say)
    except SealgateError as error:
        if isinstance(error, UsageError) or error.hint:
            raise
        raise type(error)(error.message, hint="--identity-token FILE gives a token that you have") from error


def _missing(message: str) -> IdentityToken:
    raise TokenMissingError(message, hint="--identity-token FILE, or SIGSTORE_ID_TOKEN")
