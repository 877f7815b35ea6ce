"""Sigstore bundles: those of real programs, cosign's bytes, and documents that two readers may read differently."""

import copy
import hashlib
import json
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import BundleInvalidError, JsonAmbiguousError, LimitError, SealgateError, UsageError
from sealgate.evidence import bundle, dsse
from sealgate.evidence.dsse import Envelope, EnvelopeSignature

RECORDED = Path(__file__).parent / "recorded"
BUNDLES = sorted((RECORDED / "bundles").iterdir())
BASIC = (RECORDED / "bundles" / "sign-bundle-v3-basic.json").read_bytes()
BLOB = (RECORDED / "bundles" / "blob-sigstore.json").read_bytes()
CHAIN = (RECORDED / "bundles" / "blob-js4-rekor1.json").read_bytes()
OTHER_WRITERS = ("blob-created", "att-py", "blob-py", "att-js", "blob-js")
"""Another spelling of the media type, other orders of fields, fields with zero values."""


def encode(found):
    if found.public_key_hint is None:
        material = {"certificate": found.certificates[0]}
    else:
        material = {"hint": found.public_key_hint}
    material |= {"log_entries": found.log_entries, "timestamps": found.timestamps}
    if isinstance(found.content, Envelope):
        return bundle.encode_dsse(found.content, **material)
    content = found.content
    return bundle.encode_message(content.signature, content.digest_algorithm, content.digest, **material)


def changed(original, change):
    document = json.loads(original)
    change(document)
    return json.dumps(document).encode()


def refused(raw, words=""):
    with pytest.raises(BundleInvalidError) as caught:
        bundle.parse(raw)
    assert caught.value.code == "bundle-invalid"
    assert words in caught.value.message


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_recorded_bundles_parse_and_are_written_again(path):
    raw = path.read_bytes()
    found = bundle.parse(raw)
    assert found.raw == raw
    assert (found.public_key_hint is None) == bool(found.certificates)
    document = json.loads(raw)
    material = document["verificationMaterial"]
    assert list(found.log_entries) == material.get("tlogEntries", [])
    stamps = material.get("timestampVerificationData", {}).get("rfc3161Timestamps", [])
    assert [b64encode(stamp).decode() for stamp in found.timestamps] == [stamp["signedTimestamp"] for stamp in stamps]
    if found.version == "0.3":
        again = bundle.parse(encode(found))
        assert again._replace(raw=b"", media_type="") == found._replace(raw=b"", media_type="")
        if not path.stem.startswith(OTHER_WRITERS):
            # Go's protojson writes a space after commas or not, by the build: 2.5.0 does, 3.1.1 does not.
            assert encode(found) == raw.replace(b', "', b',"')


def test_the_recorded_signature_is_over_the_pae_and_the_hint_is_of_the_key():
    found = bundle.parse(BASIC)
    key = serialization.load_pem_public_key((RECORDED / "cosign.pub").read_bytes())
    signed = dsse.pae(found.content.payload_type, found.content.payload)
    key.verify(found.content.signatures[0].sig, signed, ec.ECDSA(hashes.SHA256()))
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert found.public_key_hint == b64encode(hashlib.sha256(der).digest()).decode()


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
@pytest.mark.parametrize(
    "spelling", ["application/vnd.dev.sigstore.bundle+json;version={}", "application/vnd.dev.sigstore.bundle.v{}+json"]
)
def test_both_spellings_of_the_media_type_are_read(version, spelling):
    found = bundle.parse(changed(BASIC, lambda document: document.update(mediaType=spelling.format(version))))
    assert found.version == version
    assert found.media_type == spelling.format(version)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle+json",
        "application/vnd.dev.sigstore.bundle.v0.3+json ",
        "application/vnd.dev.sigstore.bundle+json; version=0.3",
        "application/json",
        "",
        None,
        3,
    ],
)
def test_unknown_versions_are_refused(media_type):
    bundle.parse(BASIC)
    refused(changed(BASIC, lambda document: document.update(mediaType=media_type)))


@pytest.mark.parametrize("hint", [{}, {"hint": ""}])
def test_a_key_without_a_hint_is_not_the_absence_of_a_key(hint):
    found = bundle.parse(changed(BASIC, lambda document: document["verificationMaterial"].update(publicKey=hint)))
    assert found.public_key_hint == ""
    assert found.certificates == ()


def test_pretty_printing_and_empty_lists_are_tolerated():
    document = json.loads(BASIC)
    document["verificationMaterial"] |= {"tlogEntries": [], "timestampVerificationData": {"rfc3161Timestamps": []}}
    found = bundle.parse(json.dumps(document, indent=2).encode())
    assert found.content == bundle.parse(BASIC).content


def test_chains_belong_to_old_versions():
    found = bundle.parse(CHAIN)
    assert found.version == "0.2"
    assert len(found.certificates) == 1
    refused(changed(CHAIN, lambda document: document.update(mediaType=bundle.MEDIA_TYPE)), "not a chain")

    def empty(document):
        document["verificationMaterial"]["x509CertificateChain"]["certificates"] = []

    refused(changed(CHAIN, empty), "empty")

    def double(document):
        document["verificationMaterial"]["x509CertificateChain"]["certificates"] *= 2

    assert len(bundle.parse(changed(CHAIN, double)).certificates) == 2


def both_contents(document):
    document["messageSignature"] = json.loads(BLOB)["messageSignature"]


def both_materials(document):
    document["verificationMaterial"]["certificate"] = {"rawBytes": "MAA="}


def chain_and_key(document):
    document["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    document["verificationMaterial"]["x509CertificateChain"] = {"certificates": [{"rawBytes": "MAA="}]}


def both_spellings(document):
    document["verificationMaterial"] |= {"tlogEntries": [], "tlog_entries": [{}]}


def snake_case_alone(document):
    document["verificationMaterial"]["public_key"] = document["verificationMaterial"].pop("publicKey")


def snake_case_envelope(document):
    document["dsse_envelope"] = document.pop("dsseEnvelope")


def null_beside(document):
    document["messageSignature"] = None


def null_material(document):
    document["verificationMaterial"]["certificate"] = None


AMBIGUOUS = [
    both_contents,
    both_materials,
    chain_and_key,
    both_spellings,
    snake_case_alone,
    snake_case_envelope,
    null_beside,
    null_material,
]


@pytest.mark.parametrize("change", AMBIGUOUS, ids=lambda change: change.__name__)
def test_E13_bundles_that_contradict_themselves_are_refused(change):
    bundle.parse(BASIC)
    refused(changed(BASIC, change))


def objects(value, path=()):
    """The paths of all objects that this reader is responsible for: not inside log entries."""
    if isinstance(value, dict):
        yield path
        for name, item in value.items():
            if name != "tlogEntries":
                yield from objects(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from objects(item, (*path, number))


@pytest.mark.parametrize("original", [BASIC, BLOB, CHAIN, (RECORDED / "bundles/blob-c31-rekor1-tsa.json").read_bytes()])
def test_E13_unknown_fields_are_refused_wherever_they_stand(original):
    paths = list(objects(json.loads(original)))
    assert len(paths) >= 4
    for path in paths:
        document = json.loads(original)
        place = document
        for step in path:
            place = place[step]
        place["unheard-of"] = 1
        refused(json.dumps(document).encode(), "unknown field")


@pytest.mark.parametrize("original", [BASIC, BLOB, CHAIN, (RECORDED / "bundles/blob-c31-rekor1-tsa.json").read_bytes()])
@pytest.mark.parametrize("junk", [None, 5, True, "", "?", [], {}, [None]], ids=repr)
def test_E12_junk_anywhere_gives_our_errors_or_a_bundle_that_says_less(original, junk):
    document = json.loads(original)
    good = bundle.parse(original)
    for path in leaves(document):
        twisted = copy.deepcopy(document)
        place = twisted
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = junk
        try:
            found = bundle.parse(json.dumps(twisted).encode())
        except SealgateError as error:
            assert error.code in {"bundle-invalid", "envelope-invalid", "limit-exceeded"}
            continue
        assert found._replace(raw=b"") != good._replace(raw=b"") or twisted == document


def leaves(value, path=()):
    if path:
        yield path
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(item, (*path, name))


@pytest.mark.parametrize(
    "digest",
    [
        {"algorithm": "SHA2_256", "digest": b64encode(bytes(48)).decode()},
        {"algorithm": "SHA2_512", "digest": b64encode(bytes(32)).decode()},
        {"algorithm": "SHA1", "digest": b64encode(bytes(20)).decode()},
        {"algorithm": "sha256", "digest": b64encode(bytes(32)).decode()},
        {"algorithm": "HASH_ALGORITHM_UNSPECIFIED"},
        {"algorithm": 1},
        {"algorithm": None},
        {"digest": 5},
        None,
        [],
    ],
    ids=str,
)
def test_E08_E16_message_digests_are_of_known_algorithms(digest):
    bundle.parse(BLOB)
    refused(changed(BLOB, lambda document: document["messageSignature"].update(messageDigest=digest)))


def test_a_message_digest_may_be_absent_or_empty():
    for change in (
        lambda document: document["messageSignature"].pop("messageDigest"),
        lambda document: document["messageSignature"].update(messageDigest={}),
    ):
        found = bundle.parse(changed(BLOB, change)).content
        assert (found.digest_algorithm, found.digest) == (None, None)


@pytest.mark.parametrize("text", ["YQ", "YQ==\n", "YR==", "Y Q==", "-/-/"])
def test_W16_base64_has_one_spelling(text):
    bundle.parse(changed(BLOB, lambda document: document["messageSignature"].update(signature="YQ==")))
    refused(changed(BLOB, lambda document: document["messageSignature"].update(signature=text)))


def test_E13_url_safe_base64_means_the_same_bytes():
    urls = bundle.parse(changed(BLOB, lambda document: document["messageSignature"].update(signature="-_-_")))
    assert urls.content.signature == b"\xfb\xff\xbf"


def test_M03_W18_documents_that_mean_two_things_are_refused():
    bundle.parse(BASIC)
    for old, new in [
        (b'"dsseEnvelope":', b'"dsseEnvelope":{},"dsseEnvelope":'),
        (b'"dsseEnvelope":', b'"DsseEnvelope":{},"dsseEnvelope":'),
        (b'"hint":', b'"hint":"x","hint":'),
    ]:
        with pytest.raises(JsonAmbiguousError) as caught:
            bundle.parse(BASIC.replace(old, new))
        assert caught.value.code == "json-ambiguous"
    for raw in (b"\xef\xbb\xbf" + BASIC, BASIC.decode().encode("utf-16"), b"", b"[]", BASIC + b"{}"):
        refused(raw)


def test_entries_and_bytes_are_bounded():
    count = limits.BUNDLE_ENTRIES

    def with_material(**material):
        return changed(BASIC, lambda document: document["verificationMaterial"].update(material))

    stamp = {"signedTimestamp": "MAA="}
    assert len(bundle.parse(with_material(tlogEntries=[{}] * count)).log_entries) == count
    assert (
        len(bundle.parse(with_material(timestampVerificationData={"rfc3161Timestamps": [stamp] * count})).timestamps)
        == count
    )
    for raw in (
        with_material(tlogEntries=[{}] * (count + 1)),
        with_material(timestampVerificationData={"rfc3161Timestamps": [stamp] * (count + 1)}),
    ):
        with pytest.raises(LimitError) as caught:
            bundle.parse(raw)
        assert caught.value.code == "limit-exceeded"
    assert bundle.parse(BASIC, limit=len(BASIC))
    with pytest.raises(LimitError):
        bundle.parse(BASIC, limit=len(BASIC) - 1)


def test_ed25519_blobs_have_an_empty_digest():
    raw = bundle.encode_message(b"sig", None, None, hint="h")
    assert b'"messageSignature":{"messageDigest":{},"signature":"c2ln"}' in raw
    assert bundle.parse(raw).content == bundle.MessageSignature(None, None, b"sig")


def test_a_bundle_is_written_with_a_key_or_a_certificate():
    envelope = Envelope(dsse.IN_TOTO, b"{}", (EnvelopeSignature(b"sig"),))
    assert bundle.parse(bundle.encode_dsse(envelope, hint="")).public_key_hint == ""
    assert bundle.parse(bundle.encode_dsse(envelope, certificate=b"der")).certificates == (b"der",)
    for material in ({}, {"hint": "h", "certificate": b"der"}):
        with pytest.raises(UsageError):
            bundle.encode_dsse(envelope, **material)


@given(
    st.builds(
        Envelope,
        st.text(st.characters(max_codepoint=127), min_size=1),
        st.binary(),
        st.lists(st.builds(EnvelopeSignature, st.binary(), st.text(st.characters(codec="utf-8"))), max_size=3).map(
            tuple
        ),
    ),
    st.text(st.characters(codec="utf-8")),
    st.lists(st.binary(), max_size=3),
)
def test_what_is_written_is_read_again(envelope, hint, timestamps):
    found = bundle.parse(bundle.encode_dsse(envelope, hint=hint, timestamps=timestamps))
    assert (found.content, found.public_key_hint, found.timestamps) == (envelope, hint, tuple(timestamps))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope", "publicKey", "hint", "certificate",
                "rawBytes", "tlogEntries", "payload", "payloadType", "signatures", "sig", "critical", "_type", "subject",
            ]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_json_gives_only_our_errors(value):
    with pytest.raises(SealgateError):
        bundle.parse(json.dumps(value).encode())


@given(st.binary(max_size=60))
def test_bytes_give_only_our_errors(data):
    with pytest.raises(SealgateError):
        bundle.parse(data)


@given(st.integers(0, len(BASIC) - 1), st.integers(0, 255))
def test_W02_a_changed_byte_never_gives_the_same_content_from_other_signed_bytes(place, value):
    twisted = BASIC[:place] + bytes([value]) + BASIC[place + 1 :]
    try:
        found = bundle.parse(twisted)
    except SealgateError:
        return
    good = bundle.parse(BASIC)
    same = (found.content, found.public_key_hint, found.media_type) == (
        good.content,
        good.public_key_hint,
        good.media_type,
    )
    assert same == (json.loads(twisted) == json.loads(BASIC))
