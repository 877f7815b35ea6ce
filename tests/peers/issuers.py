"""oidc-provider on loopback: a real issuer of identity tokens, and a browser in which somebody agrees to everything.

It signs people in by authorization code (PKCE is required) and by device, and services by client credentials.
"""

from __future__ import annotations

import contextlib
import html
import http.cookiejar
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from peers.programs import Program, script

PUBLIC = "sigstore"
"""A client without a secret: what Sigstore's clients call themselves."""
CONFIDENTIAL = ("service", "a secret of the tests")
"""A client with one, for client credentials, and its secret."""
ACCOUNT = {"sub": "somebody", "email": "somebody@example.test", "email_verified": True}
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Page(NamedTuple):
    """Where a browser ended."""

    url: str
    status: int
    text: str


class Issuer(NamedTuple):
    """An issuer that runs."""

    url: str
    account: Mapping[str, Any]
    """The claims of who signs in."""

    def keys(self) -> list[dict[str, Any]]:
        """Its public keys (JWK)."""
        with _opener().open(f"{self.url}/jwks", timeout=10) as answer:
            return json.load(answer)["keys"]

    def browse(self, url: str, *, until: str | None = None) -> Page:
        """Follow `url` as a browser does, and press every button. `until`: the beginning of an address that is the end, which
        is not asked any more; without it the page that a client on loopback shows is the end.
        """
        opener = _opener()
        data: bytes | None = None
        for _ in range(20):
            if until is not None and url.startswith(until):
                return Page(url, 0, "")
            try:
                with opener.open(urllib.request.Request(url, data), timeout=10) as answer:
                    status, headers, text = answer.status, answer.headers, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    status, headers, text = error.code, error.headers, error.read().decode()
            data = None
            if 300 <= status < 400:
                url = urllib.parse.urljoin(url, headers["Location"])
            elif status == 200 and (form := re.search(r'<form[^>]*action="([^"]+)"', text)):
                inputs = (re.findall(r'(name|value)="([^"]*)"', tag) for tag in re.findall(r"<input[^>]*>", text))
                fields = [dict(pairs) for pairs in inputs]
                data = urllib.parse.urlencode(
                    {one["name"]: html.unescape(one.get("value", "")) for one in fields}
                ).encode()
                url = urllib.parse.urljoin(url, html.unescape(form[1]))
            else:
                return Page(url, status, text)
        pytest.fail(f"the browser goes round in circles at {url}", pytrace=False)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """None is followed: the browser does."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    # Cookies go to every port of the host, as in browsers.
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), jar, _Redirects)


@contextlib.contextmanager
def start(
    program: Program, log: Path, *, account: Mapping[str, Any] | None = None, lifetime: int = 600
) -> Iterator[Issuer]:
    """Run an issuer. `account`: the claims of who signs in; `lifetime` of tokens, in seconds; `log`: what it complains."""
    claims = dict(account or ACCOUNT)
    public = {
        "client_id": PUBLIC,
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "redirect_uris": ["http://localhost/auth/callback", "http://127.0.0.1/auth/callback"],  # any port: RFC 8252
        "grant_types": ["authorization_code", _DEVICE],
        "response_types": ["code"],
    }
    service = {
        "client_id": CONFIDENTIAL[0],
        "client_secret": CONFIDENTIAL[1],
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["client_credentials"],
    }
    settings = {"account": claims, "clients": [public, service], "lifetime": lifetime}
    with log.open("wb") as output:
        process = program.popen(env={"SETTINGS": json.dumps(settings)}, stderr=output)
    with process:
        try:
            line = process.stdout.readline()  # ends with the program
            if not line.startswith(b"http://127.0.0.1:"):
                said = log.read_text(errors="replace")[-2000:]
                pytest.fail(f"oidc-provider did not start:\n{said}", pytrace=False)
            yield Issuer(line.decode().strip(), claims)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def start_oidc_provider(tmp_path_factory) -> Iterator[Callable[..., Issuer]]:
    """`start_oidc_provider(account={…}, lifetime=…)`: an issuer that runs until the end of the session."""
    program = script("issuer.cjs", "oidc-provider", tmp_path_factory)
    with contextlib.ExitStack() as running:

        def make(**options: Any) -> Issuer:
            log = tmp_path_factory.mktemp("oidc-provider") / "log"
            return running.enter_context(start(program, log, **options))

        yield make


@pytest.fixture(scope="session")
def oidc_provider(start_oidc_provider) -> Issuer:
    """An issuer for everybody: `peers.issuers.ACCOUNT` signs in, `PUBLIC` and `CONFIDENTIAL` are its clients."""
    return start_oidc_provider()


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> dict[str, str]:
    """Environment variables with which a program that opens a browser opens `Issuer.browse` (xdg-open, or Python's own way)."""
    folder = tmp_path_factory.mktemp("browser")
    program = folder / "xdg-open"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from peers.issuers import Issuer; "
    code += "Issuer('', {}).browse(sys.argv[1])"
    command = f'{shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"'
    # Returns at once, as xdg-open does: cosign answers its own callback only afterwards.
    program.write_text(f"#!/bin/sh\n{command} </dev/null >/dev/null 2>&1 &\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.defpath}", "BROWSER": f"{program} %s"}
