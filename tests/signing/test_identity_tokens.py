"""Identity tokens: what is read of them, what is refused early, and that nothing of them is ever shown."""

import base64
import json

import pytest

from sealgate import limits
from sealgate.errors import IdentityTokenError, SealgateError, TokenAudienceError, TokenExpiredError, TokenMissingError
from sealgate.signing.tokens import sources
from sealgate.signing.tokens import token as tokens
from sealgate.transport import driver

NOW = 1_800_000_000
CLAIMS = {"iss": "https://issuer.test", "sub": "canary-subject", "aud": "sigstore", "exp": NOW + 600, "iat": NOW}


def encode(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make(claims=None, *, header=None, **changed):
    words = {name: value for name, value in ((claims or CLAIMS) | changed).items() if value is not None}
    return f"{encode(header or {'alg': 'RS256'})}.{encode(words)}.{encode(b'canary-signature')}"


def find(environ=None, **wanted):
    said = []
    flow = sources.find(sources.Wanted(**wanted), environ or {}, interactive=False, say=said.append, now=NOW)
    found = driver.run(flow, sender=None)
    assert not any(part in text for text in said for part in found.reveal().split("."))
    return found


@pytest.fixture(autouse=True)
def _no_files(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "FILE", str(tmp_path / "nothing"))
    monkeypatch.setattr(sources, "SERVICE_ACCOUNT", str(tmp_path / "nothing"))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA", "PS512"])
def test_a_token_by_any_algorithm_given_as_it_is_or_in_a_file(tmp_path, algorithm):
    text = make(header={"alg": algorithm})
    (tmp_path / "token").write_text(text + "\r\n")
    for given in (text, str(tmp_path / "token"), text + "\n"):
        assert find(given=given).reveal() == text


@pytest.mark.parametrize(
    ("claims", "challenge"),
    [
        ({}, "canary-subject"),
        ({"email": "a@example.test", "email_verified": True}, "a@example.test"),
        ({"email": "a@example.test", "email_verified": "true"}, "a@example.test"),
        ({"email": "a@example.test", "email_verified": False}, "canary-subject"),
        ({"email": "a@example.test", "email_verified": 1}, "canary-subject"),
        ({"email": "a@example.test", "email_verified": [True]}, "canary-subject"),
        ({"email": "a@example.test"}, "canary-subject"),
        ({"email": "", "email_verified": True}, "canary-subject"),
    ],
)
def test_the_text_that_is_signed_to_prove_the_possession_of_the_key(claims, challenge):
    assert tokens.parse(make(**claims), what="it").challenge == challenge


TWICE = b'{"sub":"a","sub":"b","iss":"c"}'
MALFORMED = {
    "words": "nothing at all",
    "two parts": make().rpartition(".")[0],
    "four parts": make() + ".x",
    "empty part": make().rpartition(".")[0] + ".",
    "no base64": make().replace(".", ".!", 1),
    "no JSON": f"{encode({'alg': 'RS256'})}.{encode(b'{')}.x",
    "a list": f"{encode({'alg': 'RS256'})}.{encode([1])}.x",
    "twice": f"{encode({'alg': 'RS256'})}.{encode(TWICE)}.x",
    "unsigned": make(header={"alg": "none"}),
    "no algorithm": make(header={"typ": "JWT"}),
    "no subject": make(sub=None),
    "no issuer": make(iss=None),
    "a number as subject": make(sub=7),
    "a long subject": make(sub="x" * 2000),
    "D08 dots": "." * 10_000_000,
    "large": "x" * (limits.TOKEN_BYTES + 1),
    "deep": f"{encode({'alg': 'RS256'})}.{encode(b'[' * 5000)}.x",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_token_is_refused_and_not_shown(text):
    with pytest.raises(IdentityTokenError) as refused:
        tokens.parse(text, what="it")
    assert refused.value.code == "token-invalid"
    shown = repr(refused.value) + str(refused.value.hint)
    assert not any(part in shown for part in text.split(".") if len(part) > 8)
    assert refused.value.__cause__ is None
    assert tokens.parse(make(), what="it").reveal() == make()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"exp": NOW}, TokenExpiredError, "0 seconds ago"),
        ({"exp": NOW - 7200}, TokenExpiredError, "2 hours ago"),
        ({"nbf": NOW + 3600}, TokenExpiredError, "clock"),
        ({"exp": None}, IdentityTokenError, "how long"),
        ({"exp": "tomorrow"}, IdentityTokenError, "how long"),
        ({"exp": True}, IdentityTokenError, "how long"),
        ({"aud": "somebody"}, TokenAudienceError, "somebody"),
        ({"aud": ["a", "b"]}, TokenAudienceError, "'a', 'b'"),
        ({"aud": None}, TokenAudienceError, "None"),
        ({"aud": {"a": 1}}, TokenAudienceError, "sigstore"),
    ],
)
def test_what_the_authority_would_refuse_is_said_early(changed, error, words):
    with pytest.raises(SealgateError) as refused:
        find(given=make(**changed))
    assert type(refused.value) is error
    assert words in refused.value.message + str(refused.value.hint)


@pytest.mark.parametrize("audience", ["sigstore", ["other", "sigstore"]])
def test_one_of_several_audiences_is_enough(audience):
    assert find(given=make(aud=audience)).claims["aud"] == audience


def test_another_audience_may_be_the_right_one():
    assert find(given=make(aud="ours"), client_id="ours").claims["aud"] == "ours"


def test_nothing_shows_a_token():
    token = tokens.parse(make(), what="it")
    assert "canary" not in f"{token!r} {token}"
    assert "ey" not in f"{token!r} {token}"


# -- where tokens come from


def test_what_is_given_goes_before_what_lies_around(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FILE", str(tmp_path / "file"))
    (tmp_path / "file").write_text(make(sub="of the file"))
    environ = {"SIGSTORE_ID_TOKEN": make(sub="of the variable")}
    assert find(environ, given=make(sub="given")).challenge == "given"
    assert find(environ).challenge == "of the variable"
    assert find().challenge == "of the file"
    assert find(environ, provider="filesystem").challenge == "of the file"


def test_a_service_account_s_token_is_taken_where_it_is_for_us(tmp_path, monkeypatch):
    path = tmp_path / "account"
    monkeypatch.setattr(sources, "SERVICE_ACCOUNT", str(path))
    path.write_text(make(sub="system:serviceaccount:a:b"))
    assert find().challenge == "system:serviceaccount:a:b"
    path.write_text(make(aud="https://kubernetes.default.svc"))
    with pytest.raises(TokenAudienceError):
        find(provider="kubernetes")
    path.write_text("nonsense")
    with pytest.raises(TokenMissingError):
        find(flow="token")


def test_spiffe_s_token_is_in_a_file(tmp_path):
    (tmp_path / "svid").write_text(make(sub="spiffe://example.test/signer"))
    environ = {"SEALGATE_SPIFFE_JWT_SVID": str(tmp_path / "svid")}
    assert find(environ).challenge == find(environ, provider="spiffe").challenge == "spiffe://example.test/signer"
    with pytest.raises(TokenMissingError) as missing:
        find(provider="spiffe")
    assert "SPIFFE_ENDPOINT_SOCKET" in missing.value.message


@pytest.mark.parametrize("provider", sources.PROVIDERS)
def test_a_provider_that_is_named_and_not_there(provider):
    with pytest.raises(TokenMissingError) as missing:
        find(provider=provider)
    assert missing.value.exit_code == 15


def test_a_path_that_leads_nowhere_is_not_shown_it_may_be_a_token_that_was_cut_off():
    with pytest.raises(TokenMissingError) as missing:
        find(given=make()[5:])
    assert "canary" not in str(missing.value)
    assert make()[5:40] not in str(missing.value)


@pytest.mark.parametrize("environ", [{"SIGSTORE_ID_TOKEN": " "}, {"GITHUB_ACTIONS": "true"}])
def test_nothing_lies_around(environ):
    with pytest.raises(TokenMissingError):
        find(environ, flow="token")


def test_what_lies_around_may_be_left_alone():
    with pytest.raises(TokenMissingError):
        find({"SIGSTORE_ID_TOKEN": make()}, ambient=False, flow="token")
