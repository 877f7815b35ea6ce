"""Services that refuse, fail, dawdle or answer with something else: nothing is published, the code says why, no token is seen."""

import base64
import json

import pytest

from peers.images import Client, push_image


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "keyless/failing")


@pytest.fixture
def sign(cli, trust_service, image, tmp_path):
    """`sign(rekor=1)`: what signing said; everything that could be a part of the token is looked for in it."""

    def run(*words, rekor=2, token=None, root=True, signing_config=None):
        files = trust_service.files(tmp_path / "services", rekor=rekor)
        token = token or trust_service.token()
        (tmp_path / "token").write_text(token)
        flags = ["--signing-config", signing_config or files.signing_config, "--identity-token", tmp_path / "token"]
        flags += ["--trusted-root", files.trusted_root] if root else []
        said = cli("sign", "--yes", "--verbose", *flags, *words, image.reference)
        assert not any(part in said.out + said.err for part in token.split("."))
        return said

    return run


def attached(image):
    name = image.digest.replace(":", "-")
    return [tag for tag in Client(image.host).tags(image.repository) if tag.startswith(name)]


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def check(said, image, code, name):
    assert (said.code, f"[{name}]" in said.err) == (code, True), said.err
    assert attached(image) == []


# -- could not ask, or was refused


@pytest.mark.parametrize(
    ("service", "name"),
    [("fulcio", "fulcio-unavailable"), ("rekor", "log-unavailable"), ("tsa", "timestamp-unavailable")],
)
@pytest.mark.parametrize("status", [0, 429, 500, 503, 302, 508])
def test_a_service_that_cannot_be_asked(sign, trust_service, image, monkeypatch, service, name, status):
    monkeypatch.setattr("sealgate.signing.service._FIRST_PAUSE", 0.001)
    trust_service.fail(service, status=status)
    check(sign(), image, 14, name)
    asked = [seen.service for seen in trust_service.requests].count(service)
    # A connection that was kept and is closed without an answer is opened once more, before that counts as a try.
    assert asked >= 4 if status == 0 else asked == (1 if status in {302, 508} else 4)
    trust_service.reset()
    trust_service.fail(service, status=503, times=2, headers={"Retry-After": "0"})
    assert sign().code == 0


@pytest.mark.parametrize(
    ("service", "name"), [("fulcio", "fulcio-refused"), ("rekor", "log-refused"), ("tsa", "timestamp-refused")]
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_service_that_refuses(sign, trust_service, image, service, name, status):
    trust_service.fail(service, status=status)
    check(sign(), image, 1, name)
    assert [seen.service for seen in trust_service.requests].count(service) == 1


def test_what_a_service_says_is_shown_unless_it_is_the_token(sign, trust_service, image):
    token = trust_service.token()
    trust_service.fail("fulcio", status=400, body=b'{"code":3,"message":"no identity is known by that name"}', times=1)
    assert "no identity is known by that name" in sign(token=token).err
    for part in (token, token.split(".")[1], token.split(".")[2]):
        words = json.dumps({"message": f"cannot read {part}"}).encode()
        trust_service.fail("fulcio", status=400, body=words, times=1)
        check(sign(token=token), image, 1, "fulcio-refused")


def test_what_a_service_says_moves_no_cursor(sign, trust_service, image):
    trust_service.fail("rekor", status=400, body=json.dumps({"message": "no\x1b[2J\r\nError: all is well"}).encode())
    said = sign()
    check(said, image, 1, "log-refused")
    assert "\x1b" not in said.err
    assert not any(line.startswith("Error: all is well") for line in said.err.splitlines())


@pytest.mark.parametrize(
    ("service", "name"),
    [("fulcio", "fulcio-unavailable"), ("rekor", "log-unavailable"), ("tsa", "timestamp-unavailable")],
)
def test_a_service_that_dawdles(sign, trust_service, image, service, name):
    trust_service.fail(service, delay=30)
    check(sign("--timeout", "1s"), image, 14, name)


def test_a_service_that_asks_for_a_long_pause(sign, trust_service, image):
    trust_service.fail("fulcio", status=429, headers={"Retry-After": "3600"})
    said = sign()
    check(said, image, 14, "fulcio-unavailable")
    assert "3600 s" in said.err


def test_nobody_listens(sign, trust_service, image, tmp_path):
    config = trust_service.signing_config()
    config["caUrls"][0]["url"] = "http://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(config))
    check(sign(signing_config=tmp_path / "config"), image, 14, "fulcio-unavailable")


@pytest.mark.parametrize(
    ("service", "name", "rekor"),
    [
        ("fulcio", "fulcio-answer-invalid", 2),
        ("rekor", "log-answer-invalid", 2),
        ("rekor", "log-answer-invalid", 1),
        ("tsa", "timestamp-answer-invalid", 2),
    ],
)
@pytest.mark.parametrize(
    "body",
    [b"", b"not what was asked for", b"{}", b"[]", b'{"a":1,"a":2}', b"[" * 100_000, b"x" * (1024 * 1024 + 1)],
    ids=["empty", "text", "object", "list", "twice", "deep", "large"],
)
def test_a_service_that_answers_nonsense(sign, trust_service, image, service, name, body, rekor):
    trust_service.fail(service, status=201 if service == "rekor" else 200, body=body)
    check(sign(rekor=rekor), image, 1, name)


# -- answers with something else


def _other_key():
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).public_key()


def _email(address):
    from cryptography import x509

    return x509.RFC822Name(address)


def _vouched_for_by(issuer):
    texts = {"1.3.6.1.4.1.57264.1.1": issuer, "1.3.6.1.4.1.57264.1.8": b"\x0c" + bytes([len(issuer)]) + issuer}
    return lambda profile: profile._replace(
        extensions=tuple((oid, texts.get(oid, content)) for oid, content in profile.extensions)
    )


CERTIFICATES = {
    "another key": ("certificate", lambda profile: profile._replace(public_key=_other_key())),
    "another address": ("certificate", lambda profile: profile._replace(names=(_email("mallory@example.test"),))),
    "another issuer": ("certificate", _vouched_for_by(b"https://evil.test")),
    "two names": ("certificate", lambda profile: profile._replace(names=(*profile.names, _email("b@example.test")))),
    "over": ("certificate", lambda profile: profile._replace(not_before=0, not_after=profile.not_before - 60)),
    "in days": (
        "certificate",
        lambda profile: profile._replace(not_before=profile.not_after + 86_400, not_after=profile.not_after + 90_000),
    ),
    "none": ("chain", lambda chain: []),
    "the authority's own": ("chain", lambda chain: chain[1:]),
    "too many": ("chain", lambda chain: chain * 8),
}


@pytest.mark.parametrize(("name", "alteration"), CERTIFICATES.values(), ids=CERTIFICATES)
@pytest.mark.parametrize("root", [True, False], ids=["root", "no root"])
def test_a_certificate_that_is_not_ours(sign, trust_service, image, name, alteration, root):
    trust_service.alter(name, alteration)
    check(sign(root=root), image, 1, "fulcio-answer-invalid")
    trust_service.reset()
    assert sign(root=root).code == 0


ENTRIES = {
    2: {
        "another signature": lambda body: _inside(body, "signature", content=base64.b64encode(b"x" * 70).decode()),
        "another digest": lambda body: _inside(body, "data", digest=base64.b64encode(b"x" * 32).decode()),
        "another hash": lambda body: _inside(body, "data", algorithm="SHA2_512"),
        "another kind": lambda body: body | {"kind": "dsse"},
        "another version": lambda body: body | {"apiVersion": "0.0.1"},
        "more": lambda body: body | {"more": 1},
    },
    1: {
        "another signature": lambda body: _inside1(body, "signatures", lambda one: [one[0] | {"signature": "eHg="}]),
        "another signer": lambda body: _inside1(body, "signatures", lambda one: [one[0] | {"verifier": "eHg="}]),
        "two signatures": lambda body: _inside1(body, "signatures", lambda one: one * 2),
        "another payload": lambda body: _inside1(body, "payloadHash", lambda one: one | {"value": "00" * 32}),
        "another kind": lambda body: body | {"kind": "intoto"},
    },
}


def _inside(body, name, **changed):
    spec = body["spec"]["hashedRekordV002"]
    return body | {"spec": {"hashedRekordV002": spec | {name: spec[name] | changed}}}


def _inside1(body, name, change):
    return body | {"spec": body["spec"] | {name: change(body["spec"][name])}}


@pytest.mark.parametrize(("rekor", "case"), [(rekor, case) for rekor, cases in ENTRIES.items() for case in cases])
@pytest.mark.parametrize("root", [True, False], ids=["root", "no root"])
def test_an_entry_about_something_else(sign, trust_service, image, rekor, case, root):
    trust_service.alter("body", ENTRIES[rekor][case])
    check(sign(rekor=rekor, root=root), image, 1, "log-answer-invalid")
    trust_service.reset()
    assert sign(rekor=rekor, root=root).code == 0


ANSWERS2 = {
    "no proof": lambda entry: entry | {"inclusionProof": None},
    "no checkpoint": lambda entry: entry | {"inclusionProof": entry["inclusionProof"] | {"checkpoint": {}}},
    "index": lambda entry: entry | {"logIndex": "-1"},
    "index as words": lambda entry: entry | {"logIndex": "one"},
    "log": lambda entry: entry | {"logId": {"keyId": "no base64"}},
    "kind": lambda entry: entry | {"kindVersion": {"kind": "dsse", "version": "0.0.2"}},
    "hashes": lambda entry: entry | {"inclusionProof": entry["inclusionProof"] | {"hashes": ["eA=="] * 65}},
}


@pytest.mark.parametrize("case", ANSWERS2)
def test_an_entry_that_is_not_whole(sign, trust_service, image, case):
    trust_service.alter("entry", ANSWERS2[case])
    check(sign(root=False), image, 1, "log-answer-invalid")


# -- what only the trust root can tell

UNDER_THE_ROOT = {
    "stranger of an authority": (2, {"authority": "stranger"}, None, "certificate-untrusted"),
    "expired authority": (2, {"authority": "expired"}, None, "certificate-expired"),
    "another CT log": (2, {"ct": "stranger"}, None, "sct-untrusted"),
    "another log": (2, {"log": "stranger"}, None, "log-entry-untrusted"),
    "another log of version 1": (1, {"log": "stranger"}, None, "log-entry-untrusted"),
    "another timestamp authority": (2, {"tsa": "stranger"}, None, "timestamp-untrusted"),
    "a proof that does not hold": (2, {}, ("proof", lambda proof: proof | {"rootHash": b"x" * 32}), ""),
    "a promise that does not hold": (1, {}, ("signed-set", flip), "log-promise-invalid"),
    "an SCT that does not hold": (2, {}, ("signed-sct", flip), "sct-invalid"),
    "a time outside": (2, {}, ("timestamp", lambda stamp: stamp._replace(at=stamp.at + 3600)), "timestamp-outside"),
}


@pytest.mark.parametrize(("rekor", "chosen", "altered", "why"), UNDER_THE_ROOT.values(), ids=UNDER_THE_ROOT)
def test_what_does_not_verify_under_the_root_is_not_published(sign, trust_service, image, rekor, chosen, altered, why):
    if altered is not None:
        trust_service.alter(*altered)
    trust_service.use(**chosen)
    said = sign(rekor=rekor)
    check(said, image, 1, "signing-failed")
    assert "the signature that was made does not verify" in said.err
    assert why in said.err
    trust_service.reset()
    assert sign(rekor=rekor).code == 0


def test_without_an_sct_where_that_is_said(sign, trust_service, image):
    trust_service.alter("scts", lambda scts: [])
    check(sign(), image, 1, "signing-failed")
    assert sign("--insecure-skip-verify").code == 0


# -- timestamps

STAMPS = {
    "another imprint": ("timestamp", lambda stamp: stamp._replace(imprint=b"x" * 32), "timestamp-answer-invalid"),
    "another hash": (
        "timestamp",
        lambda stamp: stamp._replace(hash="sha512", imprint=b"x" * 64),
        "timestamp-answer-invalid",
    ),
    "another question": ("timestamp", lambda stamp: stamp._replace(nonce=7), "timestamp-answer-invalid"),
    "no question": ("timestamp", lambda stamp: stamp._replace(nonce=None), "timestamp-answer-invalid"),
    "a rejection": ("timestamp", lambda stamp: stamp._replace(status=2), "timestamp-refused"),
    "cut off": ("signed-timestamp", lambda der: der[:-3], "timestamp-answer-invalid"),
}


@pytest.mark.parametrize(("name", "alteration", "code"), STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize("root", [True, False], ids=["root", "no root"])
def test_S08_a_timestamp_of_something_else(sign, trust_service, image, name, alteration, code, root):
    trust_service.alter(name, alteration)
    check(sign(root=root), image, 1, code)
    trust_service.reset()
    assert sign(root=root).code == 0


# -- an entry that is there already


def test_an_entry_that_stands_already_in_rekor_1_is_taken(trust_service):
    """A retry after a lost answer: the log has the entry, and says where."""
    from sealgate.signing import rekor
    from sealgate.transport import driver
    from sealgate.transport.http import HttpClient
    from sealgate.transport.message import Tls

    made = trust_service.make_bundle(rekor=1, tsa=None)
    signature, entry = _parts(made)
    covered = rekor.Covered(signature, _key_of(made), "sha256", _digest(made), None, _certificate(made))
    log = rekor.log(rekor_address(trust_service), 1, Tls())
    client = HttpClient()
    try:
        found = driver.run(rekor.add(log, covered), sender=client.send)
    finally:
        client.close()
    assert found.bundled["logIndex"] == entry["logIndex"]
    assert [seen.method for seen in trust_service.requests] == ["POST", "GET"]


def rekor_address(trust_service):
    from sealgate.signing.service import address

    return address(trust_service.url, what="the log")


def _parts(made):
    bundle = json.loads(made.json)
    [entry] = bundle["verificationMaterial"]["tlogEntries"]
    return base64.b64decode(bundle["messageSignature"]["signature"]), entry


def _certificate(made):
    return base64.b64decode(json.loads(made.json)["verificationMaterial"]["certificate"]["rawBytes"])


def _key_of(made):
    from sealgate.trust.certificates import read_leaf

    return read_leaf(_certificate(made)).key


def _digest(made):
    import hashlib

    return hashlib.sha256(made.artifact).digest()


# -- TLS, and what a log has already


def test_a_private_authority_for_tls(sealgate, authority, tmp_path):
    """Where SSL_CERT_FILE names it, and nowhere else."""
    import ssl

    from trust_service.server import serve

    served = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificate, served.key)
    with serve(tls=context) as service:
        files = service.files(tmp_path / "services")
        (tmp_path / "token").write_text(service.token())
        (tmp_path / "app").write_bytes(b"content")
        services = ("--signing-config", files.signing_config, "--trusted-root", files.trusted_root)
        sign = ("sign-blob", *services, "--identity-token", "token", "--bundle", "b", "app")
        said = sealgate(*sign, cwd=tmp_path)
        assert (said.returncode, "[fulcio-unavailable]" in said.stderr) == (14, True)
        assert service.requests == []
        sealgate(*sign, cwd=tmp_path, env={"SSL_CERT_FILE": str(authority.certificate)}, check=True)


def test_a_timestamp_authority_with_an_authority_of_its_own(cli, authority, trust_service, tmp_path):
    import ssl

    from trust_service.server import serve

    served = authority.issue("127.0.0.1", "tsa.example.test")
    mine = authority.issue("signer.example.test", client=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificate, served.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "token").write_text(trust_service.token())
    (tmp_path / "app").write_bytes(b"content")
    with serve(tls=context) as service:
        places = ("--fulcio-url", trust_service.url, "--rekor-url", trust_service.url, "--yes")
        places += ("--timestamp-server-url", f"{service.url}/api/v1/timestamp", "--identity-token", tmp_path / "token")
        sign = ("sign-blob", *places, "--bundle", tmp_path / "b", tmp_path / "app")
        trusting = (*sign, "--timestamp-client-cacert", authority.certificate)
        for words in (sign, trusting):
            said = cli(*words)
            assert (said.code, "[timestamp-unavailable]" in said.err) == (14, True)
        known = ("--timestamp-client-cert", mine.certificate, "--timestamp-client-key", mine.key)
        said = cli(*trusting, *known, "--timestamp-server-name", "tsa.example.test")
        assert said.code == 0, said.err
        assert [seen.service for seen in service.requests] == ["tsa"]
        assert cli(*trusting, *known[:2]).code == 2
        assert cli(*trusting, "--timestamp-client-cert", "/nowhere", "--timestamp-client-key", "/nowhere").code == 15


def test_an_entry_that_stands_already_in_rekor_2(cli, cosign3, trust_service, make_key, tmp_path):
    """An RSA key makes the same signature each time; an ECDSA key does not. Under a trust root the entry is read."""
    files = trust_service.files(tmp_path / "services")
    (tmp_path / "app").write_bytes(b"content")
    root = ("--trusted-root", files.trusted_root)
    for algorithm, code in (("rsa-2048", 1), ("ecdsa-p256", 0)):
        key = make_key(algorithm, algorithm)
        sign = ("sign-blob", "--key", key.private, "--signing-config", files.signing_config, "--bundle", tmp_path / "b")
        assert cli(*sign, tmp_path / "app").code == 0
        again = cli(*sign, tmp_path / "app")
        assert (again.code, "[log-refused]" in again.err) == (code, code == 1)
        said = cli(*sign, *root, tmp_path / "app")
        assert said.code == 0, said.err
        verify = ("verify-blob", "--key", key.public, *root, "--bundle", tmp_path / "b", tmp_path / "app")
        assert cli(*verify, "--require-tlog").code == 0
        verified = cosign3(*verify)
        assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize("rekor", [2, 1])
def test_an_answer_of_a_log_that_was_lost_on_its_way(sign, cli, trust_service, image, tmp_path, rekor, monkeypatch):
    """The entry stands, nobody told us, and the second try is a conflict (409)."""
    from trust_service.refusal import RefusedError

    monkeypatch.setattr("sealgate.signing.service._FIRST_PAUSE", 0.001)
    lost = []

    def lose(entry):
        if not lost:
            lost.append(entry)
            raise RefusedError(503, "the answer is lost")
        return entry

    trust_service.alter("entry", lose)
    said = sign(rekor=rekor)
    assert (said.code, len(lost)) == (0, 1), said.err
    assert [seen.method for seen in trust_service.requests if "/log/entries" in seen.path][:2] == ["POST", "POST"]
    files = trust_service.files(tmp_path / "verifier")
    who = ("--certificate-identity", "signer@example.test", "--certificate-oidc-issuer", trust_service.issuer.url)
    assert cli("verify", "--trusted-root", files.trusted_root, *who, image.reference).code == 0


@pytest.mark.parametrize("root", [True, False], ids=["root", "no root"])
@pytest.mark.parametrize("rekor", [2, 1])
def test_L01_a_log_that_names_the_entry_of_another_as_ours(sign, trust_service, image, rekor, root):
    other = trust_service.make_bundle(rekor=rekor, tsa="current")
    [entry] = json.loads(other.json)["verificationMaterial"]["tlogEntries"]
    uuid = list(trust_service.log1().rows)[-1] if rekor == 1 else ""
    where = {"Location": f"/api/v1/log/entries/{uuid}"} if rekor == 1 else {"x-log-index": entry["logIndex"]}
    for headers in (where, {}, {"Location": "https://log.test/elsewhere", "x-log-index": "one"}):
        trust_service.fail("rekor", status=409, headers=headers, path="/log/entries", times=1)
        refused = rekor == 2 and not root
        check(sign(rekor=rekor, root=root), image, 1, "log-refused" if refused else "log-answer-invalid")
    assert sign(rekor=rekor, root=root).code == 0
