"""Simple-signing payloads: cosign's bytes, what is tolerated, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import (
    JsonAmbiguousError,
    LimitError,
    PayloadInvalidError,
    PayloadTypeError,
    SealgateError,
    UsageError,
)
from sealgate.evidence import simple

RECORDED = sorted((Path(__file__).parent / "recorded" / "payloads").iterdir())
DIGEST = Digest("sha256", "3e" * 32)


def payload(**changes):
    """A good payload as a document, with changes by dotted path; `...` deletes."""
    document = json.loads(simple.encode("registry.example.com/app", DIGEST, {"env": "prod"}))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[name.replace("_", "-") if name.startswith("docker") else name]
        else:
            place[name.replace("_", "-") if name.startswith("docker") else name] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_payloads_parse_and_are_written_byte_for_byte(path):
    raw = path.read_bytes()
    found = simple.parse(raw)
    assert found.raw == raw
    assert found.kind == simple.TYPE
    assert simple.encode(found.docker_reference, found.digest, found.optional) == raw


def test_go_escapes_in_annotations():
    raw = simple.encode("r", DIGEST, {"b": '<&>\u2028\u2029é\x7f"\\\n\t\x01\x08', "a": "1"})
    assert (
        b'"optional":{"a":"1","b":"\\u003c\\u0026\\u003e\\u2028\\u2029' + 'é\x7f\\"\\\\\\n\\t\\u0001\\b"}}'.encode()
        in raw
    )
    assert simple.parse(raw).optional == {"b": '<&>\u2028\u2029é\x7f"\\\n\t\x01\x08', "a": "1"}


def test_what_cosign_tolerates_is_tolerated():
    document = json.loads(payload(optional={"n": 5, "list": [1, None], "o": {}}))
    document["critical"]["new"] = document["more"] = 1
    found = simple.parse(json.dumps(document, indent=3).encode())
    assert found.digest == DIGEST
    assert found.optional == {"n": 5, "list": [1, None], "o": {}}
    assert simple.parse(payload(optional=...)).optional == {}
    assert simple.parse(payload(optional=None)).optional == {}
    assert simple.parse(payload(critical__identity=...)).docker_reference == ""
    assert simple.parse(payload(critical__identity=None)).docker_reference == ""
    assert simple.parse(payload(critical__identity={})).docker_reference == ""


@pytest.mark.parametrize("kind", ["atomic container signature", "cosign container image signature ", "git commit"])
def test_W06_another_type_has_its_own_code(kind):
    assert simple.parse(payload()).kind == simple.TYPE
    with pytest.raises(PayloadTypeError) as caught:
        simple.parse(payload(critical__type=kind))
    assert caught.value.code == "payload-type-mismatch"


@pytest.mark.parametrize(
    "changes",
    [
        {"critical": ...},
        {"critical": None},
        {"critical": []},
        {"critical__type": ...},
        {"critical__type": 5},
        {"critical__image": ...},
        {"critical__image": None},
        {"critical__image": "x"},
        {"critical__image__docker_manifest_digest": ...},
        {"critical__image__docker_manifest_digest": None},
        {"critical__image__docker_manifest_digest": ""},
        {"critical__image__docker_manifest_digest": "sha256:" + "3E" * 32},
        {"critical__image__docker_manifest_digest": "sha256:" + "3e" * 31},
        {"critical__image__docker_manifest_digest": "sha512:" + "3e" * 64},
        {"critical__image__docker_manifest_digest": "3e" * 32},
        {"critical__identity": "x"},
        {"critical__identity__docker_reference": 5},
        {"optional": []},
        {"optional": "x"},
    ],
    ids=str,
)
def test_malformed_payloads_are_refused(changes):
    simple.parse(payload())
    with pytest.raises(PayloadInvalidError) as caught:
        simple.parse(payload(**changes))
    assert caught.value.code == "payload-invalid"


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b'"x"', b"[]", b"5", b"null", b"\xff", payload()[:-1], payload() + b"x"]
)
def test_what_is_not_a_json_object_is_refused(raw):
    with pytest.raises(PayloadInvalidError):
        simple.parse(raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"docker-manifest-digest":', b'"docker-manifest-digest": "sha256:00", "docker-manifest-digest":'),
        (b'"critical":', b'"Critical": {}, "critical":'),
        (b'"type":', b'"type": "x", "type":'),
        (b'"prod"', b"NaN"),
    ],
)
def test_M03_E21_payloads_that_mean_two_things_are_refused(old, new):
    assert old in payload()
    simple.parse(payload())
    with pytest.raises(JsonAmbiguousError) as caught:
        simple.parse(payload().replace(old, new))
    assert caught.value.code == "json-ambiguous"


def test_M03_a_key_that_only_go_would_fold_is_not_read():
    with pytest.raises(PayloadInvalidError):
        simple.parse(payload().replace(b'"critical"', b'"Critical"'))


def test_a_payload_is_bounded():
    raw = payload()
    assert simple.parse(raw, limit=len(raw)).digest == DIGEST
    with pytest.raises(LimitError) as caught:
        simple.parse(raw, limit=len(raw) - 1)
    assert caught.value.code == "limit-exceeded"


def test_only_sha256_and_utf8_are_signed():
    with pytest.raises(PayloadInvalidError):
        simple.encode("r", Digest("sha512", "3e" * 64), {})
    with pytest.raises(UsageError):
        simple.encode("r", DIGEST, {"a": "\udc80"})


@given(
    st.text(st.characters(codec="utf-8")),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=4),
)
def test_what_is_written_is_read_again(reference, annotations):
    raw = simple.encode(reference, DIGEST, annotations)
    try:
        found = simple.parse(raw)
    except JsonAmbiguousError:  # keys that differ in case only
        return
    assert (found.docker_reference, found.digest, found.optional) == (reference, DIGEST, annotations)


@given(st.binary(max_size=60))
def test_bytes_give_only_our_errors(raw):
    with pytest.raises(SealgateError):
        simple.parse(raw)
