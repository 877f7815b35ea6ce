"""Signing in at a real issuer (oidc-provider), with a browser of its own process, with a code, and as a service."""

import threading

import pytest

from peers.issuers import ACCOUNT, CONFIDENTIAL, PUBLIC
from sealgate.errors import IssuerRefusedError
from sealgate.signing.tokens import browser, signin
from sealgate.transport import driver
from sealgate.transport.http import HttpClient


@pytest.fixture
def run():
    """Drive a flow over HTTP."""
    client = HttpClient()
    yield lambda flow: driver.run(flow, sender=client.send, seconds=60)
    client.close()


def check(token, issuer, client_id):
    assert (token.issuer, token.claims["aud"]) == (issuer.url, client_id)


@pytest.fixture
def visits(oidc_provider, monkeypatch):
    """A person who presses every button."""
    threads = []

    def show(place):
        thread = threading.Thread(target=oidc_provider.browse, args=(place,))
        threads.append(thread)
        thread.start()

    monkeypatch.setattr(browser, "show", show)
    yield
    for thread in threads:
        thread.join(10)


@pytest.mark.parametrize("redirect", [None, "http://127.0.0.1:0/auth/callback"])
def test_with_a_browser(run, oidc_provider, visits, redirect):
    token = run(signin.with_browser(signin.Client(oidc_provider.url, PUBLIC), redirect, lambda _: None))
    check(token, oidc_provider, PUBLIC)
    assert token.challenge == ACCOUNT["email"]


def test_with_a_code(run, oidc_provider, monkeypatch):
    monkeypatch.setattr(signin, "_seconds", lambda value, otherwise: 0.2 if otherwise == 5.0 else 60.0)
    said, threads = [], []

    def say(text):
        said.append(text)
        if "browser at: " in text:
            place = text.partition("browser at: ")[2]
            threads.append(threading.Thread(target=oidc_provider.browse, args=(place,)))
            threads[0].start()

    token = run(signin.with_code(signin.Client(oidc_provider.url, PUBLIC), say))
    threads[0].join(10)
    check(token, oidc_provider, PUBLIC)
    assert token.challenge == ACCOUNT["email"]


def test_a_service_of_an_issuer_that_gives_services_no_identity(run, oidc_provider):
    """It gives an access token alone, which is no identity."""
    client = signin.Client(oidc_provider.url, *CONFIDENTIAL)
    with pytest.raises(Exception, match=r"identity token|signs nobody in") as refused:
        run(signin.as_service(client))
    assert CONFIDENTIAL[1] not in str(refused.value)


def test_a_wrong_secret(run, oidc_provider):
    client = signin.Client(oidc_provider.url, CONFIDENTIAL[0], "canary-secret")
    with pytest.raises(IssuerRefusedError) as refused:
        run(signin.as_service(client))
    assert "canary" not in str(refused.value)


def test_the_command_opens_the_browser(sealgate, cosign3, browser, running_trust_service, tmp_path):
    """A whole process: the token is in none of its words."""
    running_trust_service.reset()
    files = running_trust_service.files(tmp_path / "services")
    (tmp_path / "app").write_bytes(b"content")
    sign = ("sign-blob", "--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
    said = sealgate(
        *sign, "--fulcio-auth-flow", "normal", "--bundle", "b", "app", cwd=tmp_path, env=browser, check=True
    )
    assert "Your browser will now be opened to:" in said.stderr
    assert "ey" + "J" not in said.stdout + said.stderr
    who = (
        "--certificate-identity",
        "signer@example.test",
        "--certificate-oidc-issuer",
        running_trust_service.issuer.url,
    )
    cosign3("verify-blob", "--trusted-root", files.trusted_root, *who, "--bundle", "b", "app", cwd=tmp_path, check=True)
