"""Challenges, token services and the URLs that servers give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import ProtocolError, RealmError, SealgateError, UnauthorizedError
from sealgate.oci import challenge as challenges
from sealgate.oci.challenge import Challenge
from sealgate.transport.message import Url
from sealgate.transport.url import parse_url, resolve_url

HUB = parse_url("https://index.docker.io/v2/")
GHCR = parse_url("https://ghcr.io/v2/")
NOBODY: frozenset[str] = frozenset()


# -- WWW-Authenticate


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ('Basic realm="x"', [Challenge("basic", "x")]),
        ("BASIC REALM=x", [Challenge("basic", "x")]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [Challenge("bearer", "https://auth.docker.io/token", "registry.docker.io", "repository:a/b:pull,push")],
        ),
        ('Bearer realm="r" , error = "invalid_token"', [Challenge("bearer", "r", error="invalid_token")]),
        (
            r'Basic realm="a \"quoted\" \\ realm, with = and ,"',
            [Challenge("basic", 'a "quoted" \\ realm, with = and ,')],
        ),
        ('Negotiate, Basic realm="x"', [Challenge("negotiate"), Challenge("basic", "x")]),
        ('Negotiate abc==, Bearer realm="y",x=1', [Challenge("negotiate"), Challenge("bearer", "y")]),
        ('Basic realm="x", Bearer realm="y", service="s"', [Challenge("basic", "x"), Challenge("bearer", "y", "s")]),
        (', ,Basic realm="x", ,', [Challenge("basic", "x")]),
        ("Bearer", [Challenge("bearer")]),
        ("Bearer realm=", [Challenge("bearer")]),
        ('Basic charset="UTF-8"', [Challenge("basic")]),
    ],
)
def test_challenges(header, expected) -> None:
    assert list(challenges.parse(header)) == expected


@pytest.mark.parametrize(
    "header",
    ['Bearer realm="a', 'Bearer realm="a",realm="b"', 'Bearer realm="a",REALM="b"', 'Bearer realm="a" Basic', "Bearer realm=https://a",
     "=x", '"x"',  'Negotiate, realm="x"', 'Basic realm="\n"', 'Basic realm="ü"', "a," * 17, "x" * 9000, 'Basic realm="a\\'],
)  # fmt: skip
def test_malformed_challenges(header) -> None:
    with pytest.raises(ProtocolError) as caught:
        challenges.parse(header)
    assert caught.value.code == "protocol-violation"


def test_bearer_comes_before_basic() -> None:
    assert challenges.choose(['Basic realm="b"', 'Bearer realm="t"'], what="r.io").scheme == "bearer"
    assert challenges.choose(['Basic realm="b", Negotiate'], what="r.io") == Challenge("basic", "b")
    for headers in ([], ["Negotiate"], [""]):
        with pytest.raises(UnauthorizedError) as caught:
            challenges.choose(headers, what="r.io")
        assert caught.value.code == "registry-unauthorized"
        assert "r.io" in caught.value.message
    with pytest.raises(ProtocolError, match=r"^r\.io: "):
        challenges.choose(['Basic realm="b"', '"'], what="r.io")


@given(st.text(alphabet='Bearer Basic,="\\ \trealm service:;/\n', max_size=60))
def test_any_header_is_read_or_refused(header) -> None:
    try:
        found = challenges.parse(header)
    except ProtocolError:
        return
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in found)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_every_quoted_realm_comes_back(realm) -> None:
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    assert challenges.parse(f'Bearer realm="{quoted}",service=s') == (Challenge("bearer", realm, "s"),)


# -- the token request


def test_token_url() -> None:
    asked = challenges.token_url(
        Challenge("bearer", "https://auth.docker.io/token", "registry docker&io"),
        "repository:a/b:push,pull",
        registry=HUB,
    )
    assert asked == Url(
        "https", "auth.docker.io", 443, "/token?scope=repository%3Aa%2Fb%3Apush%2Cpull&service=registry%20docker%26io"
    )
    kept = challenges.token_url(
        Challenge("bearer", "https://a.test/t?x=1&scope=evil&%73cope=evil&service=s#f"),
        "repository:a:pull",
        registry=HUB,
    )
    assert kept.target == "/t?x=1&scope=repository%3Aa%3Apull"


@pytest.mark.parametrize(
    "realm",
    [
        None,
        "",
        "/token",
        "ftp://a/t",
        "https://u:p@a.test/t",
        "https://a.test\\@b/",
        "javascript:x",
        "https://a.test /t",
        "https://127.1/t",
    ],
)
def test_T09_realms_that_are_no_urls(realm) -> None:
    with pytest.raises(RealmError) as caught:
        challenges.token_url(Challenge("bearer", realm), "repository:a:pull", registry=HUB)
    assert caught.value.code == "realm-refused"
    assert "u:p" not in caught.value.message


# -- which realm may be asked


def check(
    realm: str, registry: str, *, credentials: bool = False, trusted: frozenset[str] = NOBODY, peer: str = ""
) -> str:
    return challenges.check_realm(
        parse_url(realm), registry=parse_url(registry), has_credentials=credentials, trusted=trusted, peer=peer
    )


@pytest.mark.parametrize(
    ("realm", "registry", "credentials", "rule"),
    [
        ("https://ghcr.io/token", "https://ghcr.io/", True, "any"),
        ("https://ghcr.io:8443/token", "https://ghcr.io/", True, "not-link-local"),
        ("https://auth.docker.io/token", "https://index.docker.io/", True, "public"),
        ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com/", True, "public"),
        ("https://gitlab.corp.test/jwt/auth", "https://gitlab.corp.test:5050/", True, "not-link-local"),
        ("https://tokens.example/t", "https://registry.example/", False, "public"),
        ("http://127.0.0.1:5001/t", "http://127.0.0.1:5000/", False, "not-link-local"),
        ("http://127.0.0.1:5000/t", "http://127.0.0.1:5000/", True, "any"),
        ("http://localhost:5001/t", "http://127.0.0.1:5000/", False, "not-link-local"),
        ("http://registry.corp.test:5000/t", "http://registry.corp.test:5000/", True, "any"),
        ("https://10.0.0.9/t", "https://10.0.0.8/", False, "not-link-local"),
    ],
)  # fmt: skip
def test_T09_realms_that_may_be_asked(realm, registry, credentials, rule) -> None:
    assert check(realm, registry, credentials=credentials) == rule


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("http://169.254.169.254/latest/meta-data", "https://registry.example/"),
        ("http://169.254.169.254/", "http://127.0.0.1:5000/"),
        ("https://169.254.169.254/", "https://10.0.0.1/"),
        ("https://[fe80::1]/", "https://10.0.0.1/"),
        ("https://[::ffff:169.254.169.254]/", "https://10.0.0.1/"),
        ("http://tokens.example/t", "https://registry.example/"),
        ("http://registry.example/t", "https://registry.example/"),
        ("http://registry.example:81/t", "http://registry.example/"),
        ("http://tokens.example/t", "http://registry.example/"),
        ("http://127.0.0.1:6000/t", "https://127.0.0.1:5000/"),
        ("http://127.0.0.1:6000/t", "http://10.0.0.1:5000/"),
        ("https://127.0.0.1/t", "https://registry.example/"),
        ("https://localhost/t", "https://registry.example/"),
        ("https://10.0.0.1/t", "https://registry.example/"),
        ("https://printer.local/t", "https://registry.example/"),
        ("https://[::1]/t", "https://registry.example/"),
        ("https://[::ffff:10.0.0.1]/t", "https://registry.example/"),
        ("https://100.64.0.1/t", "https://registry.example/"),
    ],
)
def test_T09_realms_that_are_never_asked(realm, registry) -> None:
    for credentials in (True, False):
        with pytest.raises(RealmError) as caught:
            check(realm, registry, credentials=credentials)
        assert caught.value.code == "realm-refused"
        assert caught.value.exit_code == 14


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("https://evil.test/t", "https://ghcr.io/"),
        ("https://auth.docker.io/t", "https://ghcr.io/"),
        ("https://auth.docker.io.evil.test/t", "https://index.docker.io/"),
        ("https://auth.docker.io:8443/t", "https://index.docker.io/"),
        ("https://gitlab.com/t", "https://index.docker.io/"),
        ("https://xghcr.io/t", "https://ghcr.io/"),
        ("https://sub.ghcr.io/t", "https://ghcr.io/"),
        ("http://127.0.0.1:5001/t", "http://127.0.0.1:5000/"),
        ("https://127.0.0.1:5001/t", "https://127.0.0.1:5000/"),
    ],
)
def test_T09_credentials_stay_with_the_registry(realm, registry) -> None:
    assert check(realm, registry, credentials=False)
    with pytest.raises(RealmError) as caught:
        check(realm, registry, credentials=True)
    host = parse_url(realm).authority
    assert caught.value.hint is not None
    assert f"--registry-realm {host}" in caught.value.hint
    assert "SEALGATE_REGISTRY_REALMS" in caught.value.hint
    assert check(realm, registry, credentials=True, trusted=frozenset({host}))
    for near in (f"x{host}", host.partition(".")[2], f"{host}.evil.test", ""):
        with pytest.raises(RealmError):
            check(realm, registry, credentials=True, trusted=frozenset({near}))


def test_T09_a_named_realm_may_be_private_but_never_link_local_or_http() -> None:
    trusted = frozenset({"10.0.0.9", "TOKENS.corp.test:443", "169.254.169.254"})
    assert (
        check("https://10.0.0.9/t", "https://registry.example/", credentials=True, trusted=trusted) == "not-link-local"
    )
    assert (
        check("https://tokens.corp.test/t", "https://registry.example/", credentials=True, trusted=trusted)
        == "not-link-local"
    )
    for realm in ("https://169.254.169.254/t", "http://10.0.0.9/t", "https://10.0.0.9:444/t"):
        with pytest.raises(RealmError):
            check(realm, "https://registry.example/", credentials=True, trusted=trusted)


def test_T09_the_address_of_the_registry_says_whether_it_is_public() -> None:
    assert check("https://tokens.corp.test/t", "https://registry.corp.test/") == "public"
    assert check("https://tokens.corp.test/t", "https://registry.corp.test/", peer="10.1.2.3") == "not-link-local"
    assert check("https://tokens.corp.test/t", "https://registry.corp.test/", peer="8.8.8.8") == "public"
    assert check("https://tokens.corp.test/t", "https://8.8.8.8/") == "public"


# -- URLs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.test", Url("https", "a.test", 443, "/")),
        ("HTTPS://A.Test:443/x?y=%2F#z", Url("https", "a.test", 443, "/x?y=%2F")),
        ("http://[2001:DB8::1]:5000/x", Url("http", "2001:db8::1", 5000, "/x")),
        ("http://10.0.0.1?x", Url("http", "10.0.0.1", 80, "/?x")),
        ("https://a_b.s3.test/k|{}?X-Sig=a+b/c%3D", Url("https", "a_b.s3.test", 443, "/k%7C%7B%7D?X-Sig=a+b/c%3D")),
    ],
)
def test_urls(text, expected) -> None:
    assert parse_url(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "/x", "//a.test/x", "a.test/x", "ftp://a.test/", "https:///x", "https://a.test./", "https://u@a.test/", "https://u:pw@a.test/",
     "https://a.test:0/", "https://a.test:/", "https://a.test:65536/", "https://a.test:080/", "https://a.test\\x", "https://a test/",
     "https://a.test/\n", "https://a.test/\x00", "https://ä.test/", "https://%61.test/", "https://a..test/", "https://-/%", "https://a.test/%z",
     "https://127.1/", "https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/", "https://[::1/", "https://[::1%25eth0]/", "https://[v1.x]/",
     "https://[]/", "file:///etc/passwd", "https://a.test/" + "x" * 9000, "https://a.test@evil.test/", "https://a.test:443:443/", "https://a.test:x/"],
)  # fmt: skip
def test_W31_urls_that_mean_two_things(text) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_url(text)
    assert caught.value.code == "protocol-violation"
    assert "pw" not in caught.value.message


def test_messages_never_have_the_query() -> None:
    for text in ("https://a.test:0/x?X-Signature=s3cret", "https://u:s3cret@a.test/?s3cret", "x?s3cret#s3cret"):
        with pytest.raises(ProtocolError) as caught:
            parse_url(text)
        assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/x", "https://a.test:5000/x"),
        ("x?y", "https://a.test:5000/c/x?y"),
        ("?q=2", "https://a.test:5000/c/d?q=2"),
        ("//b.test/x", "https://b.test/x"),
        ("http://b.test", "http://b.test/"),
        ("../../../x", "https://a.test:5000/x"),
        ("/v2/a/blobs/uploads/1?_state=a%3D%3D&n=1#f", "https://a.test:5000/v2/a/blobs/uploads/1?_state=a%3D%3D&n=1"),
    ],
)
def test_resolve_url(location, expected) -> None:
    found = resolve_url(parse_url("https://a.test:5000/c/d?e=1"), location)
    assert f"{found.scheme}://{found.authority}{found.target}" == expected


@pytest.mark.parametrize(
    "location",
    [
        "",
        "https:x",
        "http:/x",
        "javascript:alert(1)",
        "data:,x",
        "//u@b.test/",
        "\\\\b.test/x",
        "/\\b.test",
        "/x\ny",
        "/x y",
        "//b.test:0/",
        "//[",
        "//[]",
        "/ü",
    ],
)
def test_W31_locations_that_mean_two_things(location) -> None:
    with pytest.raises(ProtocolError) as caught:
        resolve_url(parse_url("https://a.test/c/d"), location)
    assert caught.value.code == "protocol-violation"


@given(st.one_of(st.text(max_size=40), st.text(alphabet="htps:/@.[]?#%\\a1-_", max_size=40)))
def test_any_location_is_read_or_refused(location) -> None:
    base = parse_url("https://a.test/c/d?e")
    try:
        found = resolve_url(base, location)
    except SealgateError as error:
        assert isinstance(error, ProtocolError)
        return
    assert found.target.startswith("/")
    assert found.target.isascii()
    assert " " not in found.target
    assert parse_url(f"{found.scheme}://{found.authority}{found.target}") == found
