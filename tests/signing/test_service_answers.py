"""Whatever a service answers, and whatever stands where a token should: a value of ours, or an error of ours with a code."""

import base64
import copy
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import FulcioAnswerError, IdentityTokenError, LogAnswerError, UsageError
from sealgate.evidence.dsse import IN_TOTO, Envelope, EnvelopeSignature, pae
from sealgate.keys.private import generate
from sealgate.keys.signer import PrivateKeySigner
from sealgate.signing import fulcio, rekor
from sealgate.signing.service import address
from sealgate.signing.tokens import token as tokens
from sealgate.transport import driver
from sealgate.transport.message import Response, Tls

SIGNER = PrivateKeySigner(generate("ecdsa-p256"))
ENVELOPE = Envelope(IN_TOTO, b"{}", (EnvelopeSignature(b"signature"),))
URL = address("https://log.test/below/", what="it")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def covered(envelope):
    digest = hashlib.sha256(pae(IN_TOTO, b"{}") if envelope else b"message").digest()
    return rekor.Covered(b"signature", SIGNER.public_key, "sha256", digest, ENVELOPE if envelope else None, None)


def b64(data):
    return base64.b64encode(data).decode()


def answering(respond, requests=None):
    """A sender that answers with what `respond` makes of the request's JSON."""

    def send(request, deadline):
        if requests is not None:
            requests.append(request)
        return Response(201, (), respond(json.loads(request.body)))

    return send


def log2(asked):
    """What an honest log of version 2 answers."""
    entry = asked["hashedRekordRequestV002"]
    data = {"algorithm": "SHA2_256", "digest": entry["digest"]}
    spec = {"hashedRekordV002": {"data": data, "signature": entry["signature"]}}
    body = json.dumps({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": spec}, sort_keys=True)
    proof = {"rootHash": b64(b"r" * 32), "treeSize": "1", "hashes": [], "checkpoint": {"envelope": "note"}}
    return {
        "logId": {"keyId": b64(b"k" * 32)},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "integratedTime": "0",
        "inclusionPromise": None,
        "inclusionProof": proof,
        "canonicalizedBody": b64(body.replace(": ", ":").replace(", ", ",").encode()),
    }


def log1(asked):
    """What an honest log of version 1 answers."""
    if asked["kind"] == "dsse":
        content = asked["spec"]["proposedContent"]
        envelope = json.loads(content["envelope"])
        payload = hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(content["envelope"].encode()).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": payload},
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": content["verifiers"][0]}],
        }
        asked = asked | {"spec": spec}
    proof = {"logIndex": 0, "rootHash": "00" * 32, "treeSize": 1, "hashes": [], "checkpoint": "note"}
    verification = {"inclusionProof": proof, "signedEntryTimestamp": b64(b"promise")}
    entry = {"body": b64(json.dumps(asked).encode()), "integratedTime": 1, "logID": "00" * 32, "logIndex": 7}
    return {"0" * 80: entry | {"verification": verification}}


def places(value, path=()):
    """Every place in a document."""
    yield path
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*path, name))


def replaced(whole, path, value):
    if not path:
        return value
    whole = copy.deepcopy(whole)
    inner = whole
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return whole


def add(version, envelope, respond):
    log = rekor.log(URL, version, Tls())
    return driver.run(rekor.add(log, covered(envelope)), sender=answering(respond))


@pytest.mark.parametrize("envelope", [False, True])
@pytest.mark.parametrize(("version", "honest"), [(2, log2), (1, log1)])
def test_an_honest_answer(version, honest, envelope):
    requests = []
    log = rekor.log(URL, version, Tls())
    sender = answering(lambda asked: json.dumps(honest(asked)).encode(), requests)
    found = driver.run(rekor.add(log, covered(envelope)), sender=sender)
    assert str(requests[0].url) == f"https://log.test/below/api/v{version}/log/entries"
    assert found.bundled["logIndex"] == ("0" if version == 2 else "7")  # protobuf leaves out what is 0
    assert (found.promise is None) is (version == 2)
    assert ("integratedTime" in found.bundled) is (version == 1)


@pytest.mark.parametrize("envelope", [False, True])
@pytest.mark.parametrize(("version", "honest"), [(2, log2), (1, log1)])
@given(which=st.integers(0, 99), value=JSON)
def test_any_part_of_an_answer_replaced_by_anything(version, honest, envelope, which, value):
    def respond(asked):
        whole = honest(asked)
        every = list(places(whole))
        return json.dumps(replaced(whole, every[which % len(every)], value)).encode()

    try:
        found = add(version, envelope, respond)
    except LogAnswerError as error:
        assert error.hint == "nothing was published"
    else:
        assert found.bundled["canonicalizedBody"]


@given(JSON)
def test_a_chain_of_anything(value):
    signer_key = fulcio.service(URL, Tls())
    answers = ({"signedCertificateEmbeddedSct": value}, {"signedCertificateDetachedSct": {"chain": value}}, value)
    for whole in answers:
        with pytest.raises(FulcioAnswerError):
            fulcio._read(signer_key, Response(200, (), json.dumps(whole).encode()), token(), SIGNER, 0.0)


def token():
    parts = ({"alg": "RS256"}, {"iss": "https://issuer.test", "sub": "somebody"})
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return tokens.parse(f"{text}.x", what="it")


@given(st.text(max_size=60) | st.builds(".".join, st.lists(st.text("eyJ0-_ =.A", max_size=12), min_size=3, max_size=3)))
def test_a_token_of_anything(text):
    with pytest.raises(IdentityTokenError) as refused:
        tokens.parse(text, what="it")
    assert refused.value.message.startswith("it is")


@given(JSON, JSON)
def test_claims_of_anything(header, claims):
    text = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    )
    with pytest.raises(IdentityTokenError):
        tokens.parse(f"{text}.x", what="it").check(audience="sigstore", now=0)


@pytest.mark.parametrize(
    "text", ["", "ftp://x", "https://", "https://user:canary@x", "https://x?a=b", "x y", "//x", "http://x:0"]
)
def test_addresses_that_mean_nothing(text):
    with pytest.raises(UsageError) as refused:
        address(text, what="--fulcio-url")
    assert refused.value.message.startswith("--fulcio-url is no address of a service")
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fulcio.test", "https://fulcio.test/"),
        ("http://[::1]:8080/a/", "http://[::1]:8080/a"),
        ("HTTPS://X", "https://x/"),
    ],
)
def test_addresses(text, expected):
    assert str(address(text, what="it")) == expected
