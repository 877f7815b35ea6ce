"""The real issuer does what the tests of signing in lean on. No line of the product runs here."""

import base64
import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request

import pytest

from peers.issuers import ACCOUNT, CONFIDENTIAL, PUBLIC

REDIRECT = "http://localhost:4321/auth/callback"


def ask(url, form=None):
    """The status and the JSON of an answer."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def endpoints(oidc_provider):
    return ask(f"{oidc_provider.url}/.well-known/openid-configuration")[1]


def authorize(endpoints, oidc_provider, **changed):
    """Sign in by authorization code; the form that redeems it."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {"response_type": "code", "client_id": PUBLIC, "redirect_uri": REDIRECT, "scope": "openid email"}
    query |= {"state": "s", "nonce": "n", "code_challenge": challenge, "code_challenge_method": "S256"}
    query = {name: value for name, value in (query | changed).items() if value is not None}
    place = f"{endpoints['authorization_endpoint']}?{urllib.parse.urlencode(query)}"
    page = oidc_provider.browse(place, until=REDIRECT)
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page.url).query))
    form = {"grant_type": "authorization_code", "client_id": PUBLIC, "redirect_uri": REDIRECT}
    return answer, form | {"code": answer.get("code", ""), "code_verifier": verifier}


def test_people_sign_in_by_code(endpoints, oidc_provider):
    answer, form = authorize(endpoints, oidc_provider)
    assert (answer["state"], answer["iss"]) == ("s", oidc_provider.url)
    status, said = ask(endpoints["token_endpoint"], form)
    assert status == 200, said
    token = claims(said["id_token"])
    assert token["nonce"] == "n"
    assert (token["iss"], token["aud"]) == (oidc_provider.url, PUBLIC)
    assert {name: token[name] for name in ACCOUNT} == ACCOUNT
    status, said = ask(endpoints["token_endpoint"], form)
    assert (status, said["error"]) == (400, "invalid_grant"), "a code is good for once"


def test_a_code_needs_its_verifier(endpoints, oidc_provider):
    _, form = authorize(endpoints, oidc_provider)
    status, said = ask(endpoints["token_endpoint"], form | {"code_verifier": secrets.token_urlsafe(32)})
    assert (status, said["error"]) == (400, "invalid_grant")


def test_nobody_signs_in_without_pkce(endpoints, oidc_provider):
    answer, _ = authorize(endpoints, oidc_provider, code_challenge=None, code_challenge_method=None)
    assert answer["error"] == "invalid_request"


def test_people_sign_in_by_device(endpoints, oidc_provider):
    _, began = ask(endpoints["device_authorization_endpoint"], {"client_id": PUBLIC, "scope": "openid email"})
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": PUBLIC}
    form["device_code"] = began["device_code"]
    status, said = ask(endpoints["token_endpoint"], form)
    assert (status, said["error"]) == (400, "authorization_pending")
    assert oidc_provider.browse(began["verification_uri_complete"]).text == "signed in"
    status, said = ask(endpoints["token_endpoint"], form)
    assert status == 200, said
    assert claims(said["id_token"])["email"] == ACCOUNT["email"]


def test_services_show_who_they_are(endpoints):
    name, secret = CONFIDENTIAL
    form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
    assert ask(endpoints["token_endpoint"], form)[0] == 200
    status, said = ask(endpoints["token_endpoint"], form | {"client_secret": "wrong"})
    assert (status, said["error"]) == (401, "invalid_client")


def test_others_sign_in_at_issuers_of_their_own(start_oidc_provider, oidc_provider):
    other = start_oidc_provider(account={"sub": "https://example.test/robot"})
    assert other.url != oidc_provider.url
    [key] = other.keys()
    assert (key["kty"], key["use"]) == ("RSA", "sig")
