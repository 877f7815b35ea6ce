"""Key references: files, variables, https; and everything that must not be a key."""

import os
from pathlib import Path

import pytest

from sealgate import limits
from sealgate.errors import KeyMaterialError, LimitError, SealgateError
from sealgate.keys.algorithms import parse_public_pem
from sealgate.keys.resolve import KeyReference, load_public_key, load_signer, public_key_of
from sealgate.keys.signer import sign_message
from sealgate.transport import driver
from sealgate.transport.message import Response

RECORDED = Path(__file__).with_name("recorded")
PUB = (RECORDED / "cosign.pub").read_bytes()
KEY = (RECORDED / "cosign.key").read_bytes()
COSIGN = parse_public_pem(PUB, what="k")
CANARY = "canary-4fa1c0ffee"


def run(flow, sender=None, **settings):
    def nobody(request, deadline):
        pytest.fail(f"asked {request.url}")

    return driver.run(flow, sender=sender or nobody, **settings)


def public(reference, environ=None, sender=None, **settings):
    return run(load_public_key(str(reference), environ=environ or {}), sender, **settings)


def signer(reference, environ=None, password=b"pw"):
    return run(load_signer(str(reference), password=lambda: password, environ=environ or {}))


def refused(code, function, *args, **settings):
    with pytest.raises(SealgateError) as caught:
        function(*args, **settings)
    assert caught.value.code == code
    assert CANARY not in f"{caught.value!r} {caught.value.hint}"
    return caught.value


class Web:
    """A scripted server: what each URL answers. Keeps the requests."""

    def __init__(self, answers, peer="127.0.0.1"):
        self.answers = answers
        self.peer = peer
        self.requests = []

    def __call__(self, request, deadline):
        self.requests.append(request)
        answer = self.answers[f"{request.url.scheme}://{request.url.authority}{request.url.target}"]
        if isinstance(answer, list):
            answer = answer.pop(0)
        status, body, *headers = answer
        if len(body) > request.limit:
            raise LimitError("too large")
        return Response(status, tuple(headers), body, self.peer)


# -- files and variables


def test_a_public_key_comes_from_a_file_or_a_variable():
    assert public(RECORDED / "cosign.pub") == COSIGN
    assert public("env://MINE", {"MINE": PUB.decode()}) == COSIGN


def test_a_signer_comes_from_a_file_or_a_variable():
    for found in (signer(RECORDED / "cosign.key"), signer("env://MINE", {"MINE": KEY.decode()})):
        assert found.public_key == COSIGN
        assert COSIGN.verify(run(sign_message(found, b"m")), b"m") == "ecdsa-p256-sha256"


def test_the_public_key_of_either_half_is_found():
    for reference in ("cosign.key", "cosign.pub"):
        flow = public_key_of(str(RECORDED / reference), password=lambda: b"pw", environ={})
        assert run(flow) == COSIGN
    assert run(public_key_of("env://MINE", password=lambda: b"pw", environ={"MINE": KEY.decode()})) == COSIGN


def test_the_password_is_not_asked_for_what_needs_none():
    assert run(public_key_of(str(RECORDED / "cosign.pub"), password=pytest.fail, environ={})) == COSIGN
    refused(
        "key-unsupported", lambda: run(load_signer(str(RECORDED / "ossl-rsa.pem"), password=pytest.fail, environ={}))
    )


def test_a_private_key_to_verify_with_is_named():
    for name in ("cosign.key", "ossl-rsa.pem", "ossl-ec-sec1.pem"):
        error = refused("key-is-private", public, RECORDED / name)
        assert "sealgate public-key" in error.hint
    refused("key-is-private", public, "env://MINE", {"MINE": KEY.decode()})


def test_a_public_key_to_sign_with_is_named():
    refused("key-malformed", signer, RECORDED / "cosign.pub")


@pytest.mark.parametrize("function", [public, signer])
def test_bad_files_are_named(function, tmp_path):
    (tmp_path / "huge").write_bytes(b"x" * (limits.KEY_FILE_BYTES + 1))
    (tmp_path / "junk").write_bytes(os.urandom(3000).replace(b"-----BEGIN", b""))
    (tmp_path / "empty").write_bytes(b"")
    for name, code in [
        ("missing", "key-not-found"),
        ("junk/below", "key-not-found"),
        (".", "key-malformed"),
        ("huge", "key-malformed"),
        ("junk", "key-malformed"),
        ("empty", "key-malformed"),
    ]:
        refused(code, function, tmp_path / name)
    refused("key-malformed", function, "/dev/zero")
    refused("key-invalid", function, "a\0b")
    refused("key-not-found", function, "")
    refused("key-not-found", function, "env://MISSING")
    refused("key-not-found", function, "env://EMPTY", {"EMPTY": ""})
    refused("key-not-found", function, "env://")


def test_a_wrong_password_is_named():
    refused("key-password", signer, RECORDED / "cosign.key", None, CANARY.encode())


def test_the_text_of_a_key_in_place_of_a_reference_is_not_repeated():
    for text in (PUB.decode(), KEY.decode()):
        error = refused("key-unsupported", public, text)
        assert "env://" in error.hint
        assert text[40:60] not in error.message


@pytest.mark.parametrize(
    "reference",
    ["awskms:///alias/a", "gcpkms://p", "k8s://ns/s", "pkcs11:token=x", "nope://x", "file:///k.pub", "git-hub://x"],
)
def test_other_schemes_are_named(reference):
    scheme = reference.partition(":")[0]
    for function in (public, signer):
        error = refused("key-unsupported", function, reference)
        assert scheme in error.message
        assert "env://" in error.hint


def test_references_are_taken_apart():
    assert KeyReference.parse("HTTPS://Host/x") == ("https", "Host/x")
    assert KeyReference.parse("./a://b") == ("", "./a://b")
    assert KeyReference.parse("C:/k.pub") == ("", "C:/k.pub")
    assert str(KeyReference.parse("env://X")) == "env://X"
    assert str(KeyReference.parse("k.pub")) == "k.pub"


# -- the network


def test_a_public_key_comes_from_https():
    web = Web({"https://keys.example/k.pub": (200, PUB)})
    assert public("https://keys.example/k.pub", sender=web) == COSIGN
    (request,) = web.requests
    assert request.limit == limits.KEY_FILE_BYTES
    assert {name.lower() for name, _ in request.headers} == {"accept"}
    assert run(public_key_of("https://keys.example/k.pub", password=pytest.fail, environ={}), web) == COSIGN


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9:8080", "[::1]"])
def test_plain_http_is_for_loopback(host):
    assert public(f"http://{host}/k.pub", sender=Web({f"http://{host}/k.pub": (200, PUB)})) == COSIGN


@pytest.mark.parametrize("host", ["keys.example", "10.0.0.1", "localhost.example", "127.0.0.1.example"])
def test_plain_http_elsewhere_is_refused_unasked(host):
    refused("key-unsupported", public, f"http://{host}/k.pub")


def test_private_keys_are_not_fetched():
    refused("key-unsupported", signer, "https://keys.example/cosign.key")
    web = Web({"https://keys.example/k": (200, KEY)})
    refused("key-is-private", public, "https://keys.example/k", sender=web)
    refused(
        "key-is-private", lambda: run(public_key_of("https://keys.example/k", password=pytest.fail, environ={}), web)
    )


@pytest.mark.parametrize(
    "url", ["https://u:" + CANARY + "@keys.example/k", "https://", "https:///k", "https://a b/", "https://ex%41mple/"]
)
def test_odd_addresses_are_refused_unasked(url):
    refused("key-invalid", public, url)


def test_a_secret_in_the_query_is_not_shown():
    url = f"https://keys.example/k?sig={CANARY}"
    error = refused("key-not-found", public, url, sender=Web({url: (404, b"")}))
    assert "https://keys.example/k" in error.message


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "key-not-found"),
        (401, "registry-unauthorized"),
        (403, "registry-denied"),
        (418, "registry-failed"),
        (304, "registry-failed"),
    ],
)
def test_other_answers_are_named(status, code):
    refused(code, public, "https://keys.example/k", sender=Web({"https://keys.example/k": (status, PUB)}))


def test_a_large_answer_is_no_key():
    web = Web({"https://keys.example/k": (200, b"x" * (limits.KEY_FILE_BYTES + 1))})
    refused("key-malformed", public, "https://keys.example/k", sender=web)


def test_a_busy_server_is_asked_again():
    waited = []
    web = Web({"https://keys.example/k": [(503, b""), (429, b"", ("retry-after", "7")), (200, PUB)]})
    assert public("https://keys.example/k", sender=web, **pausing(waited)) == COSIGN
    assert len(web.requests) == 3
    web = Web({"https://keys.example/k": (429, b"")})
    refused("registry-throttled", public, "https://keys.example/k", sender=web, **pausing(waited))
    assert len(web.requests) == limits.ATTEMPTS


def pausing(waited):
    """A driver whose pauses are instant."""
    moment = [0.0]

    def pause(seconds):
        waited.append(seconds)
        moment[0] += seconds

    return {"clock": lambda: moment[0], "pause": pause}


def test_redirects_are_followed_to_https_only():
    web = Web(
        {
            "https://a.example/k": (302, b"", ("location", "/other")),
            "https://a.example/other": (301, b"", ("location", "https://b.example/k")),
            "https://b.example/k": (200, PUB),
        }
    )
    assert public("https://a.example/k", sender=web) == COSIGN
    for location in ("http://a.example/k", "http://127.0.0.1/k"):
        web = Web({"https://a.example/k": (302, b"", ("location", location))})
        refused("redirect-refused", public, "https://a.example/k", sender=web)
        assert len(web.requests) == 1
    refused("redirect-refused", public, "https://a.example/k", sender=Web({"https://a.example/k": (302, b"")}))
    loop = Web({"https://a.example/k": (302, b"", ("location", "/k"))})
    refused("redirect-refused", public, "https://a.example/k", sender=loop)
    assert len(loop.requests) == limits.REDIRECTS + 1
    for location in ("ftp://a.example/k", "https://u:p@b.example/k", "file:///etc/passwd"):
        web = Web({"https://a.example/k": (302, b"", ("location", location))})
        refused("protocol-violation", public, "https://a.example/k", sender=web)


@pytest.mark.parametrize(
    ("peer", "rule"), [("93.184.216.34", "public"), ("10.1.2.3", "not-link-local"), ("", "public")]
)
def test_T09_a_redirect_from_a_public_server_may_not_lead_inward(peer, rule):
    answers = {
        "https://a.example/k": (302, b"", ("location", "https://b.example/k")),
        "https://b.example/k": (200, PUB),
    }
    web = Web(answers, peer=peer)
    assert public("https://a.example/k", sender=web) == COSIGN
    assert [request.addresses for request in web.requests] == ["any", rule]


def test_what_the_network_gives_is_read_as_strictly_as_a_file():
    for body, code in ((b"", "key-malformed"), (PUB + PUB, "key-malformed"), (b"<html>", "key-malformed")):
        with pytest.raises(KeyMaterialError) as caught:
            public("https://keys.example/k", sender=Web({"https://keys.example/k": (200, body)}))
        assert caught.value.code == code
