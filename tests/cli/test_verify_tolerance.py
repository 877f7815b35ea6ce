"""What of others' writing is accepted, and what is not, by hand-made evidence; cosign 3.1.1 is asked about each as well."""

import base64
import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from peers import handmade
from peers.handmade import attach_bundle, attach_legacy, bundle, ecdsa, new_key, pae, payload, public_pem, statement
from peers.images import push_image

KEY = new_key()


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    path = tmp_path_factory.mktemp("handmade") / "cosign.pub"
    path.write_bytes(public_pem(KEY))
    return path


@pytest.fixture
def image(docker_registry):
    return push_image(docker_registry, "tolerance/image")


@pytest.fixture
def ask(cli, cosign3, image, public):
    """What sealgate and cosign 3.1.1 say: exit codes."""

    def run(*words):
        theirs = cosign3("verify", "--key", public, "--insecure-ignore-tlog", *words, image.reference)
        return cli("verify", "--key", public, *words, "-o", "verdict", image.reference), theirs.returncode

    return run


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


def legacy(image, document=None, *, signed=None, signature=None, **options):
    raw = signed if signed is not None else compact(document or payload(image))
    attach_legacy(image, raw, signature(raw) if signature else ecdsa(KEY, raw), **options)


def raw_ecdsa(message):
    r, s = decode_dss_signature(ecdsa(KEY, message))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


LEGACY_ACCEPTED = {
    "as cosign writes it": legacy,
    "pretty-printed": lambda image: legacy(image, signed=json.dumps(payload(image), indent=3).encode() + b"\n"),
    "unknown fields": lambda image: legacy(image, payload(image, more=[1, {"a": None}]) | {"further": True}),
    "optional: numbers, lists, objects": lambda image: legacy(
        image, payload(image, optional={"n": 1, "f": 1.5, "l": [1, "a"], "o": {"b": None}, "t": True})
    ),
    "no optional": lambda image: legacy(image, {"critical": payload(image)["critical"]}),
    "no identity": lambda image: legacy(
        image, {"critical": {k: v for k, v in payload(image)["critical"].items() if k != "identity"}, "optional": None}
    ),
    "another identity": lambda image: legacy(
        image, payload(image, identity={"docker-reference": "docker.io/other/name"})
    ),
    "a foreign layer media type": lambda image: legacy(image, layer_type="application/octet-stream"),
    "an empty config": lambda image: legacy(image, config_type=handmade.EMPTY),
    "a config that is no JSON": lambda image: legacy(image, config=b"\x00\x01 config"),
    "further annotations": lambda image: legacy(image, annotations={"dev.example/anything": "x"}),
}


@pytest.mark.parametrize("case", LEGACY_ACCEPTED)
def test_accepted_legacy(ask, image, case):
    LEGACY_ACCEPTED[case](image)
    ours, theirs = ask()
    assert (ours.code, theirs) == (0, 0), ours.err


LEGACY_REFUSED = {
    # case: how, our code, whether cosign 3.1.1 accepts it
    "E02 raw r||s": (lambda image: legacy(image, signature=raw_ecdsa), "signature-key-mismatch", True),
    "W06 another critical.type": (
        lambda image: legacy(image, payload(image, type="atomic container signature")), "payload-type-mismatch", True,
    ),
    "no digest": (lambda image: legacy(image, payload(image, image={})), "evidence-malformed", False),
    "an empty digest": (
        lambda image: legacy(image, payload(image, image={"docker-manifest-digest": ""})), "evidence-malformed", False,
    ),
    "another digest": (
        lambda image: legacy(image, payload(image, image={"docker-manifest-digest": "sha256:" + "0" * 64})),
        "signature-subject-mismatch", False,
    ),
    "an empty signature": (lambda image: legacy(image, signature=lambda _: ""), "evidence-malformed", False),
    "a signature that is no base64": (lambda image: legacy(image, signature=lambda _: "!!!"), "evidence-malformed", False),
    "the payload altered": (
        lambda image: legacy(image, signed=compact(payload(image)), signature=lambda raw: ecdsa(KEY, raw + b" ")),
        "signature-key-mismatch", False,
    ),
    "M03 a duplicate key": (
        lambda image: legacy(
            image,
            signed=compact(payload(image)).replace(b'{"docker-manifest', b'{"docker-manifest-digest":"x","docker-manifest'),
        ),
        "evidence-malformed", True,
    ),
    "not JSON": (lambda image: legacy(image, signed=b"not json"), "evidence-malformed", False),
}  # fmt: skip


@pytest.mark.parametrize("case", LEGACY_REFUSED)
def test_refused_legacy(ask, image, case):
    make, code, tolerated = LEGACY_REFUSED[case]
    make(image)
    ours, theirs = ask()
    found = json.loads(ours.out)
    codes = {
        each["code"] for report in found["signatures"] for each in report["findings"] if each["outcome"] == "failed"
    }
    assert ours.code == 12
    assert code in codes | {found["code"]}
    assert (theirs == 0) is tolerated, "what is written about cosign in docs/differences.md"


def of(image, document=None, *, signed=None, key=KEY, **changes):
    return bundle(key, signed if signed is not None else compact(document or statement(image)), **changes)


def two_subjects(image):
    subject = statement(image)["subject"][0]
    return statement(image, subject=[{"name": "other", "digest": {"sha256": "1" * 64}}, subject])


BUNDLES_ACCEPTED = {
    "as cosign writes it": lambda image: attach_bundle(image, of(image)),
    "pretty-printed": lambda image: attach_bundle(
        image, of(image, signed=json.dumps(statement(image), indent=2).encode())
    ),
    "Statement v0.1": lambda image: attach_bundle(
        image, of(image, statement(image, _type="https://in-toto.io/Statement/v0.1"))
    ),
    "a subject with a name": lambda image: attach_bundle(
        image, of(image, statement(image, subject=[statement(image)["subject"][0] | {"name": "x"}]))
    ),
    "no annotations": lambda image: attach_bundle(
        image, of(image, statement(image, subject=[{"digest": statement(image)["subject"][0]["digest"]}]))
    ),
    "several subjects": lambda image: attach_bundle(image, of(image, two_subjects(image))),
    "further digests": lambda image: attach_bundle(
        image,
        of(
            image,
            statement(image, subject=[{"digest": statement(image)["subject"][0]["digest"] | {"sha512": "0" * 128}}]),
        ),
    ),
    "no predicate": lambda image: attach_bundle(
        image, of(image, {k: v for k, v in statement(image).items() if k != "predicate"})
    ),
    "a wrong hint": lambda image: attach_bundle(
        image, of(image, verificationMaterial={"publicKey": {"hint": handmade.hint(new_key())}})
    ),
    "no hint": lambda image: attach_bundle(image, of(image, verificationMaterial={"publicKey": {}})),
    "empty tlogEntries": lambda image: attach_bundle(
        image, of(image, verificationMaterial={"publicKey": {"hint": handmade.hint(KEY)}, "tlogEntries": []})
    ),
    "the older media type inside": lambda image: attach_bundle(
        image, of(image, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3")
    ),
    "a manifest without artifactType": lambda image: attach_bundle(image, of(image), drop=("artifactType",)),
    "a manifest without subject": lambda image: attach_bundle(image, of(image), drop=("subject",)),
    "cosign's wrong index entry": lambda image: attach_bundle(image, of(image), entry={"artifactType": handmade.EMPTY}),
    "an index entry with a wrong annotation": lambda image: attach_bundle(
        image, of(image), entry={"annotations": {"dev.sigstore.bundle.predicateType": "https://example.com/other"}}
    ),
}


@pytest.mark.parametrize("case", BUNDLES_ACCEPTED)
def test_accepted_bundles(ask, image, case):
    BUNDLES_ACCEPTED[case](image)
    ours, theirs = ask()
    assert (ours.code, theirs) == (0, 0), ours.err


def test_junk_in_the_index_does_not_hide_a_signature(ask, docker_registry, image):
    another = push_image(docker_registry, image.repository)  # an image, said to be a bundle
    junk = {"mediaType": another.media_type, "size": len(another.raw), "digest": another.digest}
    attach_bundle(image, of(image), more_entries=(junk | {"artifactType": handmade.BUNDLE}, junk | {"size": 7}))
    ours, theirs = ask()
    assert (ours.code, theirs) == (0, 0), ours.err


def altered(image):
    good = of(image)
    envelope = good["dsseEnvelope"]
    other = compact(statement(image, predicate={"x": 1}))
    return good | {"dsseEnvelope": envelope | {"payload": base64.b64encode(other).decode()}}


def with_signatures(image, signatures):
    good = of(image)
    return good | {
        "dsseEnvelope": good["dsseEnvelope"] | {"signatures": signatures(good["dsseEnvelope"]["signatures"][0])}
    }


def signed_as(image, payload_type):
    body = compact(statement(image))
    good = of(image)
    signature = base64.b64encode(ecdsa(KEY, pae(payload_type, body))).decode()
    return good | {
        "dsseEnvelope": good["dsseEnvelope"] | {"payloadType": payload_type, "signatures": [{"sig": signature}]}
    }


BUNDLES_REFUSED = {
    "the payload altered": (lambda image: attach_bundle(image, altered(image)), "signature-invalid", False),
    "no signature": (lambda image: attach_bundle(image, with_signatures(image, lambda _: [])), None, False),
    "two signatures": (lambda image: attach_bundle(image, with_signatures(image, lambda one: [one, one])), None, False),
    "another payload type": (
        lambda image: attach_bundle(image, signed_as(image, "application/json")), "not-an-image-signature", False,
    ),
    "the payload signed without its type": (
        lambda image: attach_bundle(
            image,
            with_signatures(
                image, lambda _: [{"sig": base64.b64encode(ecdsa(KEY, compact(statement(image)))).decode()}]
            ),
        ),
        "signature-invalid", False,
    ),
    "an attestation": (
        lambda image: attach_bundle(
            image, of(image, statement(image, predicateType="https://cosign.sigstore.dev/attestation/v1"))
        ),
        "not-an-image-signature", True,
    ),
    "another subject": (
        lambda image: attach_bundle(image, of(image, statement(image, subject=[{"digest": {"sha256": "1" * 64}}]))),
        "signature-subject-mismatch", False,
    ),
    "no subject": (lambda image: attach_bundle(image, of(image, statement(image, subject=[]))), None, False),
    "a subject of another algorithm only": (
        lambda image: attach_bundle(
            image, of(image, statement(image, subject=[{"digest": {"sha512": image.digest.partition(":")[2] * 2}}]))
        ),
        "signature-subject-mismatch", False,
    ),
    "another Statement type": (
        lambda image: attach_bundle(image, of(image, statement(image, _type="https://in-toto.io/Statement/v9"))), None, None,
    ),
    "not JSON": (lambda image: attach_bundle(image, b"not json"), None, False),
}  # fmt: skip


@pytest.mark.parametrize("case", BUNDLES_REFUSED)
def test_refused_bundles(ask, image, case):
    make, code, tolerated = BUNDLES_REFUSED[case]
    make(image)
    ours, theirs = ask()
    found = json.loads(ours.out)
    assert ours.code == (10 if case == "an attestation" else 12), ours.err
    if code is not None:
        assert code in {each["code"] for report in found["signatures"] for each in report["findings"]}
    if tolerated is not None:
        assert (theirs == 0) is tolerated


def test_a_referrer_of_another_image_is_not_this_image_s(cli, docker_registry, image, public):
    elsewhere = push_image(docker_registry, "tolerance/image")
    attach_bundle(image, of(image), subject=elsewhere)
    said = cli("verify", "--key", public, image.reference)
    assert said.code == 12
    assert "referrer-subject-mismatch" in said.err
    attach_bundle(image, of(image))
    assert cli("verify", "--key", public, image.reference).code == 0


@pytest.mark.parametrize("value", [1, True, None, ["prod"], {"prod": 1}, "Prod", "prod ", ""])
def test_E09_an_annotation_of_another_type_or_text_does_not_match(cli, image, public, value):
    legacy(image, payload(image, optional={"env": value}))
    for asked in ("env=prod", "env=1", "env=True", "env=true", "env=None", "env=null"):
        assert cli("verify", "--key", public, "-a", asked, image.reference).code == 12, asked
    assert cli("verify", "--key", public, image.reference).code == 0


def test_the_one_who_reads_this_sees_what_was_found(cli, image, public):
    """The verdict of the issue: every signature, why it failed, and a hint."""
    other = new_key()
    attach_bundle(image, of(image, key=other))
    legacy(image, payload(image, image={"docker-manifest-digest": "sha256:" + "7" * 64}))
    said = cli("verify", "--key", public, image.reference)
    assert said.code == 12
    assert re.search(r"^✗ \S+@sha256:[0-9a-f]{64}  refused: the nearest of 2 signatures ", said.err, re.MULTILINE)
    assert "2 signatures found" in said.err
    assert re.search(
        r"^  ✗ bundle sha256:\w{12}…  names key SHA256:\S+ as its signer; not signed by .*signature-key-mismatch$",
        said.err,
        re.MULTILINE,
    )
    assert re.search(
        r"^  ✗ \.sig #1 sha256:\w{12}…  is for another image, sha256:7{64}  signature-subject", said.err, re.MULTILINE
    )
    assert "hint: " in said.err
