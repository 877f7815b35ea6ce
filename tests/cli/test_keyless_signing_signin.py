"""Signing in before signing: with a browser, with a code, as a service; and in the CI around. No token is seen anywhere."""

import base64
import json
import os
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sealgate.signing.tokens import browser, signin
from trust_service.identities import EMAIL, WORKFLOW, github


@pytest.fixture
def sign(cli, trust_service, tmp_path):
    """`sign(…)`: a file is signed by whoever signs in; its name in the certificate, and what was said."""
    files = trust_service.files(tmp_path / "services")
    (tmp_path / "app").write_bytes(b"content")
    given = []
    trust_service.alter("signed-token", lambda text: given.append(text) or text)

    def run(*words, env=None):
        flags = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
        said = cli("sign-blob", *flags, *words, "--bundle", tmp_path / "b", tmp_path / "app", env=env)
        assert not any(part in said.out + said.err for text in given for part in text.split("."))
        return said

    yield run
    for seen in trust_service.requests:
        assert not any(text in seen.path for text in given)


def signed_by(said):
    assert said.code == 0, said.err
    return re.search(r"Signing as (\S+)", said.err)[1]


# -- with a browser


@pytest.fixture
def visitor(monkeypatch):
    """`visitor.does = function`: what the person's browser does with the address it is shown; else what browsers do."""

    class Visitor:
        def __init__(self):
            self.places, self.pages = [], []

        def does(self, place):
            self.pages.append(visit(place))

    found = Visitor()

    def show(place):
        found.places.append(place)
        thread = threading.Thread(target=found.does, args=(place,))
        threads.append(thread)
        thread.start()

    threads = []
    monkeypatch.setattr(browser, "show", show)
    yield found
    for thread in threads:
        thread.join(10)


def visit(place):
    try:
        with urllib.request.urlopen(place, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


BROWSER = ("--fulcio-auth-flow", "normal")


def test_signing_in_with_a_browser(sign, trust_service, visitor):
    assert signed_by(sign(*BROWSER)) == EMAIL
    [place] = visitor.places
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query))
    assert query["code_challenge_method"] == "S256"
    assert re.fullmatch(r"http://localhost:\d+/auth/callback", query["redirect_uri"])
    assert (query["client_id"], query["response_type"], query["scope"]) == ("sigstore", "code", "openid email")
    assert min(map(len, (query["state"], query["nonce"], query["code_challenge"]))) >= 43
    [(status, page)] = visitor.pages
    assert (status, "You are signed in" in page) == (200, True)
    asked = [seen for seen in trust_service.requests if seen.path == "/oidc/token"]
    assert "code_verifier=" in asked[0].body.decode()


def test_each_sign_in_has_its_own_secrets(sign, visitor):
    for _ in range(2):
        sign(*BROWSER)
    first, second = (dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query)) for place in visitor.places)
    assert not {first[name] for name in ("state", "nonce", "code_challenge")} & set(second.values())


def test_C23_others_who_come_to_the_callback_are_turned_away(sign, visitor):
    def first_others(place):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query))
        callback, state = query["redirect_uri"], query["state"]
        for wrong in (
            f"{callback}?code=evil&state=x", f"{callback}?code=evil", f"{callback}?error=access_denied",
            f"{callback}?code=evil&state={state}&state={state}", f"{callback}/x?code=evil&state={state}",
        ):  # fmt: skip
            visitor.pages.append(visit(wrong))
        visitor.pages.append(visit(place))

    visitor.does = first_others
    assert signed_by(sign(*BROWSER)) == EMAIL
    assert [status for status, _ in visitor.pages] == [400] * 5 + [200]


def test_a_code_of_another_issuer(sign, trust_service, visitor):
    """RFC 9207: whoever says that he is another one is not the one that was asked."""

    def mixed_up(place):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(place).query))
        who = urllib.parse.quote(issuers[-1], safe="")
        visitor.pages.append(visit(f"{query['redirect_uri']}?code=x&state={query['state']}&iss={who}"))

    issuers = ["https://evil.test"]
    visitor.does = mixed_up
    said = sign(*BROWSER)
    assert (said.code, "another issuer" in said.err) == (1, True)
    issuers.append(trust_service.issuer.url)
    assert "another issuer" not in sign(*BROWSER).err


def test_nobody_comes(sign, visitor, monkeypatch):
    monkeypatch.setattr("sealgate.limits.SIGN_IN_SECONDS", 0.2)
    visitor.does = lambda place: None
    said = sign(*BROWSER)
    assert (said.code, "[issuer-refused]" in said.err) == (1, True)


def test_the_issuer_says_no(sign, trust_service, visitor):
    trust_service.issuer.denies = "access_denied"
    said = sign(*BROWSER)
    assert (said.code, "[issuer-refused]" in said.err, "access_denied" in said.err) == (1, True, True)


def test_a_token_for_another_question(sign, trust_service, visitor):
    trust_service.alter("token", lambda claims: claims | {"nonce": "of somebody else"})
    said = sign(*BROWSER)
    assert (said.code, "[issuer-unavailable]" in said.err, "nonce" in said.err) == (14, True, True)


def test_a_token_of_another_issuer(sign, trust_service, visitor):
    trust_service.alter("token", lambda claims: claims | {"iss": "https://evil.test"})
    said = sign(*BROWSER)
    assert (said.code, "[issuer-unavailable]" in said.err) == (14, True)


@pytest.mark.parametrize("place", ["https://localhost/x", "http://example.test:1/x", "http://localhost:99999/", "x"])
def test_a_redirect_that_does_not_lead_to_this_machine(sign, visitor, place):
    said = sign(*BROWSER, "--oidc-redirect-url", place)
    assert (said.code, visitor.places) == (2, [])


def test_a_redirect_of_one_s_own(sign, visitor):
    assert signed_by(sign(*BROWSER, "--oidc-redirect-url", "http://127.0.0.1:0/back")) == EMAIL
    assert "127.0.0.1" in visitor.places[0]


def test_C20_an_endpoint_without_tls_of_an_issuer_with_it(sign, trust_service, monkeypatch):
    """What an issuer says of itself leads to no place where anybody listens."""
    seen = []
    real = signin._discover

    async def secured(client):
        found = await real(client)
        seen.append(found)
        return found._replace(service=found.service._replace(url=found.service.url._replace(scheme="https")))

    monkeypatch.setattr(signin, "_discover", secured)
    said = sign(*DEVICE)
    assert (said.code, "without TLS" in said.err, len(seen)) == (14, True, 1)


# -- with a code, and as a service

DEVICE = ("--fulcio-auth-flow", "device")


@pytest.fixture
def _quick(monkeypatch):
    """The issuer asks for a second between two questions."""
    real = signin._seconds
    monkeypatch.setattr(signin, "_seconds", lambda value, otherwise: 0.01 if value == 1 else real(value, otherwise))


@pytest.mark.usefixtures("_quick")
def test_signing_in_with_a_code(sign, trust_service):
    trust_service.issuer.pending = 2
    said = sign(*DEVICE, "--quiet")
    assert said.code == 0
    assert "ABCD-EFGH" in said.err  # with --quiet too: else nobody could sign in
    assert [seen.path for seen in trust_service.requests].count("/oidc/token") == 3


@pytest.mark.usefixtures("_quick")
def test_without_a_terminal_a_code_it_is(sign):
    said = sign()
    assert signed_by(said) == EMAIL
    assert "Non-interactive mode detected, using device flow." in said.err


@pytest.mark.usefixtures("_quick")
def test_nobody_signs_in_with_the_code(sign, trust_service, monkeypatch):
    monkeypatch.setattr("sealgate.limits.DEVICE_SECONDS", 0.3)
    trust_service.issuer.pending = 10_000
    said = sign(*DEVICE)
    assert (said.code, "[issuer-refused]" in said.err) == (1, True)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
def test_the_code_is_refused(sign, trust_service, error):
    trust_service.issuer.denies = error
    said = sign(*DEVICE)
    assert (said.code, "[issuer-refused]" in said.err, error in said.err) == (1, True, True)


def test_a_service_signs_in_with_its_secret(sign, trust_service, tmp_path):
    (tmp_path / "secret").write_text("canary-secret\n")
    flags = ("--fulcio-auth-flow", "client_credentials", "--oidc-client-id", "sigstore")
    said = sign(*flags, "--oidc-client-secret-file", tmp_path / "secret")
    assert signed_by(said) == EMAIL
    assert "canary" not in said.err
    asked = next(seen for seen in trust_service.requests if seen.path == "/oidc/token")
    assert "canary" not in asked.path
    without = sign(*flags)
    assert (without.code, "[issuer-refused]" in without.err) == (1, True)


@pytest.mark.parametrize(
    ("status", "body", "code", "name"),
    [
        (500, b"{}", 14, "issuer-unavailable"),
        (404, b"{}", 1, "issuer-refused"),
        (200, b'{"issuer":"https://evil.test"}', 14, "issuer-unavailable"),
        (200, b"{}", 14, "issuer-unavailable"),
        (200, b"nonsense", 14, "issuer-unavailable"),
        (200, b"x" * (256 * 1024 + 1), 14, "issuer-unavailable"),
        (302, b"", 14, "issuer-unavailable"),
    ],
    ids=["failing", "not found", "C20 of another", "of nobody", "nonsense", "D02 D06 large", "C20 elsewhere"],
)
def test_an_issuer_that_is_none(sign, trust_service, monkeypatch, status, body, code, name):
    monkeypatch.setattr("sealgate.signing.service._FIRST_PAUSE", 0.001)
    elsewhere = {"Location": f"{trust_service.url}/oidc/keys"}
    trust_service.fail("oidc", status=status, body=body, path="well-known", headers=elsewhere)
    said = sign(*DEVICE)
    assert (said.code, f"[{name}]" in said.err) == (code, True), said.err
    assert {seen.path for seen in trust_service.requests} == {"/oidc/.well-known/openid-configuration"}


def test_without_signing_in(sign):
    said = sign("--fulcio-auth-flow", "token")
    assert (said.code, "[token-missing]" in said.err) == (15, True)


@pytest.mark.parametrize(
    "flags",
    [
        ("--oidc-provider", "nobody"),
        ("--oidc-provider", "google", "--oidc-disable-ambient-providers"),
        ("--fulcio-auth-flow", "magic"),
        ("--rekor-url", "http://127.0.0.1:1"),
        ("--use-signing-config=false",),
        ("--signing-algorithm", "ed25519"),
    ],
)
def test_wrong_use(sign, trust_service, flags):
    assert sign(*flags).code == 2
    assert trust_service.requests == []


# -- the CI around


@pytest.fixture
def github_service(trust_service):
    """GitHub's address for tokens, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            status, body = answers[0](self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

        def do_POST(self):
            self.do_GET()

    answers = [lambda _: (200, json.dumps({"value": trust_service.token(github())}).encode())]
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/token?version=1", asked, answers
        server.shutdown()
        thread.join(10)


@pytest.fixture
def ci(monkeypatch):
    """`ci(NAME=value, …)`: variables of the process, which `id` reads, and of the command; the CI around us is gone."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)

    def variables(**named):
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        return named

    return variables


def test_github_actions(sign, ci, github_service):
    url, asked, _ = github_service
    env = ci(
        GITHUB_ACTIONS="true", ACTIONS_ID_TOKEN_REQUEST_URL=url, ACTIONS_ID_TOKEN_REQUEST_TOKEN="canary-request-token"
    )
    for flags in ((), ("--oidc-provider", "github-actions")):
        said = sign(*flags, env=env)
        assert signed_by(said) == WORKFLOW
        assert "canary" not in said.err
    assert asked[0] == ("/token?version=1&audience=sigstore", "bearer canary-request-token")


def test_github_actions_that_fails_shows_nothing_of_its_answer(sign, ci, github_service):
    url, _, answers = github_service
    answers[0] = lambda _: (500, b"canary-answer")
    env = ci(GITHUB_ACTIONS="true", ACTIONS_ID_TOKEN_REQUEST_URL=url, ACTIONS_ID_TOKEN_REQUEST_TOKEN="canary")
    said = sign(env=env | {"SEALGATE_TRACEBACK": "1"})
    assert (said.code, "[issuer-unavailable]" in said.err, "canary" in said.err) == (14, True, False)


@pytest.fixture
def google(monkeypatch, tmp_path, github_service, trust_service):
    """Google's addresses are ours; what was asked, and the answers by a part of the path."""
    from id._internal.oidc import ambient as ids

    url, asked, answers = github_service
    place = url.partition("/token")[0]
    monkeypatch.setattr(ids, "_GCP_TOKEN_REQUEST_URL", f"{place}/access")
    monkeypatch.setattr(ids, "_GCP_IDENTITY_REQUEST_URL", f"{place}/identity")
    monkeypatch.setattr(ids, "_GCP_GENERATEIDTOKEN_REQUEST_URL", f"{place}/accounts/{{}}:generateIdToken")
    token = trust_service.token("robot@project.example.test")
    known = {
        "/access": lambda: (200, b'{"access_token": "canary-access"}'),
        "/accounts": lambda: (200, json.dumps({"token": token}).encode()),
        "/identity": lambda: (200, token.encode()),
    }

    def answer(request):
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        return next(make for start, make in known.items() if request.path.startswith(start))()

    answers[0] = answer
    return asked, known


def test_google_with_an_account_that_this_one_may_impersonate(sign, ci, google):
    asked, known = google
    env = ci(GOOGLE_SERVICE_ACCOUNT_NAME="robot@project")
    for flags in ((), ("--oidc-provider", "google")):
        said = sign(*flags, env=env)
        assert signed_by(said) == "robot@project.example.test"
        assert "canary" not in said.err
    assert [path.partition("?")[0] for path, _ in asked[:2]] == ["/access", "/accounts/robot@project:generateIdToken"]
    assert asked[1][1] == "Bearer canary-access"
    known["/accounts"] = lambda: (403, b"canary-answer")
    said = sign(env=env | {"SEALGATE_TRACEBACK": "1"})
    assert (said.code, "[issuer-unavailable]" in said.err, "canary" in said.err) == (14, True, False)


def test_a_machine_of_google_s(sign, ci, google, monkeypatch, tmp_path):
    from id._internal.oidc import ambient as ids

    from sealgate.signing.tokens import ambient

    (tmp_path / "product").write_text("Google Compute Engine\n")
    monkeypatch.setattr(ids, "_GCP_PRODUCT_NAME_FILE", str(tmp_path / "product"))
    monkeypatch.setattr(ambient, "_GOOGLE_MACHINE", str(tmp_path / "product"))
    ci()
    asked, _ = google
    assert signed_by(sign()) == "robot@project.example.test"
    assert "audience=sigstore" in asked[0][0]
    (tmp_path / "product").write_text("Something else\n")
    assert sign("--fulcio-auth-flow", "token").code == 15


def test_gitlab(sign, ci, trust_service):
    env = ci(GITLAB_CI="true", SIGSTORE_ID_TOKEN=trust_service.token("https://gitlab.test/acme/app"))
    assert signed_by(sign("--oidc-provider", "gitlab", env=env)) == "https://gitlab.test/acme/app"
    assert signed_by(sign(env=env)) == "https://gitlab.test/acme/app"


@pytest.mark.parametrize(
    ("variable", "program", "provider"),
    [("BUILDKITE", "buildkite-agent", "buildkite-agent"), ("CIRCLECI", "circleci", "circleci")],
)
def test_programs_of_a_ci(sign, ci, trust_service, tmp_path, monkeypatch, variable, program, provider):
    (tmp_path / "bin").mkdir()
    (tmp_path / "token").write_text(trust_service.token("https://ci.test/acme"))
    script = tmp_path / "bin" / program
    script.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/args\nexec cat {tmp_path}/token\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    env = ci(**{variable: "true"})
    assert signed_by(sign(env=env)) == "https://ci.test/acme"
    assert "sigstore" in (tmp_path / "args").read_text()
    script.write_text("#!/bin/sh\necho canary-words >&2\nexit 3\n")
    said = sign("--oidc-provider", provider, env=env)
    assert (said.code, "[issuer-unavailable]" in said.err, "canary" in said.err) == (14, True, False)


def test_what_lies_around_is_left_alone_where_that_is_said(sign, ci, github_service):
    url, asked, _ = github_service
    env = ci(GITHUB_ACTIONS="true", ACTIONS_ID_TOKEN_REQUEST_URL=url, ACTIONS_ID_TOKEN_REQUEST_TOKEN="x")
    said = sign("--oidc-disable-ambient-providers", "--fulcio-auth-flow", "token", env=env)
    assert (said.code, asked) == (15, [])


def test_an_expired_token_is_not_shown_to_anybody(sign, trust_service):
    token = trust_service.token(exp=1)
    said = sign("--identity-token", token)
    assert (said.code, "[token-expired]" in said.err) == (15, True)
    assert trust_service.requests == []
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] not in said.err
