"""cosign's legacy format: layers, annotations, configs and blob bundles."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import BundleInvalidError, EnvelopeInvalidError, JsonAmbiguousError, SealgateError, UsageError
from sealgate.evidence import legacy

RECORDED = Path(__file__).parent / "recorded"
PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
GOOD = {legacy.SIGNATURE: "YQ=="}


def layers():
    for path in sorted((RECORDED / "manifests").iterdir()):
        for number, layer in enumerate(json.loads(path.read_bytes())["layers"]):
            yield pytest.param(layer, id=f"{path.stem}-{number}")


@pytest.mark.parametrize("layer", list(layers()))
def test_recorded_layers_are_read_and_their_annotations_written_again(layer):
    annotations = layer["annotations"]
    if layer["mediaType"] == legacy.DSSE_ENVELOPE:
        found = legacy.parse_attestation_layer(b"{}", annotations, layer["mediaType"])
        assert found.signature == b""
        if legacy.CERTIFICATE not in annotations:
            assert legacy.attestation_annotations(annotations[legacy.PREDICATE_TYPE]) == annotations
        with pytest.raises(EnvelopeInvalidError):
            legacy.parse_layer(b"{}", annotations, layer["mediaType"])
        return
    found = legacy.parse_layer(b"payload", annotations, layer["mediaType"])
    assert found.payload == b"payload"
    assert found.signature_text == annotations[legacy.SIGNATURE]
    assert b64encode(found.signature).decode() == found.signature_text
    written = legacy.layer_annotations(
        found.signature,
        certificate=found.certificate,
        chain=found.chain,
        bundle=found.bundle,
        timestamp=found.timestamp,
    )
    assert list(written.items()) == list(annotations.items()) == list(found.annotations)


def test_the_recorded_signature_is_over_the_payload():
    manifest = json.loads((RECORDED / "manifests" / "sign-legacy-two-sig.json").read_bytes())
    payload = (RECORDED / "payloads" / "annotated.json").read_bytes()
    layer = next(layer for layer in manifest["layers"] if layer["digest"] == str(Digest.of(payload)))
    found = legacy.parse_layer(payload, layer["annotations"], layer["mediaType"])
    key = serialization.load_pem_public_key((RECORDED / "cosign.pub").read_bytes())
    key.verify(found.signature, found.payload, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("path", sorted((RECORDED / "configs").iterdir()), ids=lambda path: path.stem)
def test_recorded_configs_are_written_byte_for_byte(path):
    recorded = path.read_bytes()
    document = json.loads(recorded)
    digests = [Digest.parse(text) for text in document["rootfs"]["diff_ids"]]
    assert legacy.config(digests, created=document["created"]) == recorded
    if path.stem == "sign-legacy-v3":
        assert legacy.config(digests) == recorded


@pytest.mark.parametrize("media_type", [legacy.SIMPLE_SIGNING, "application/octet-stream", "", "text/plain"])
def test_E24_any_media_type_is_read(media_type):
    assert legacy.parse_layer(b"x", GOOD, media_type).media_type == media_type


@pytest.mark.parametrize(
    "text", [None, "", "\n", " ", "YQ", "YR==", "Y Q==", "YQ==\nYQ==", " YQ==", "-_-_", "not base64", "é"]
)
def test_E20_W16_a_signature_that_is_missing_empty_or_not_base64_is_refused(text):
    assert legacy.parse_layer(b"x", GOOD, "").signature == b"a"
    with pytest.raises(EnvelopeInvalidError) as caught:
        legacy.parse_layer(b"x", {} if text is None else {legacy.SIGNATURE: text}, "")
    assert caught.value.code == "envelope-invalid"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_line_end_that_sign_blob_prints_is_tolerated(end):
    found = legacy.parse_layer(b"x", {legacy.SIGNATURE: "YQ==" + end}, "")
    assert found.signature == b"a"
    assert found.signature_text == "YQ==" + end


@pytest.mark.parametrize("name", [legacy.CERTIFICATE, legacy.BUNDLE, legacy.TIMESTAMP])
@pytest.mark.parametrize("blank", ["", " ", "\n", " \n", "\t\r\n"])
def test_M09_an_annotation_that_is_there_and_blank_is_not_absent(name, blank):
    legacy.parse_layer(b"x", GOOD, "")
    legacy.parse_layer(b"x", GOOD | {name: PEM}, "")
    for parse in (legacy.parse_layer, legacy.parse_attestation_layer):
        with pytest.raises(EnvelopeInvalidError) as caught:
            parse(b"x", GOOD | {name: blank}, "")
        assert caught.value.code == "envelope-invalid"


def test_M09_an_empty_chain_is_what_cosign_writes_but_a_blank_one_is_not():
    with_certificate = GOOD | {legacy.CERTIFICATE: PEM}
    found = legacy.parse_layer(b"x", with_certificate | {legacy.CHAIN: ""}, "")
    assert (found.certificate, found.chain) == (PEM.encode(), None)
    with pytest.raises(EnvelopeInvalidError):
        legacy.parse_layer(b"x", with_certificate | {legacy.CHAIN: " \n"}, "")


def test_W15_certificates_are_ascii():
    with pytest.raises(EnvelopeInvalidError):
        legacy.parse_layer(b"x", GOOD | {legacy.CERTIFICATE: PEM + "é"}, "")
    with pytest.raises(UsageError):
        legacy.layer_annotations(b"x", certificate="é".encode())


@given(st.binary(min_size=1), st.none() | st.just(PEM.encode()), st.none() | st.just("{}"), st.none() | st.just("{}"))
def test_annotations_that_are_written_are_read_again(signature, certificate, bundle, timestamp):
    written = legacy.layer_annotations(signature, certificate=certificate, bundle=bundle, timestamp=timestamp)
    assert list(written) == sorted(written)
    found = legacy.parse_layer(b"x", written, legacy.SIMPLE_SIGNING)
    assert (found.signature, found.certificate, found.bundle, found.timestamp) == (
        signature,
        certificate,
        bundle,
        timestamp,
    )


@given(st.dictionaries(st.sampled_from([legacy.SIGNATURE, legacy.CERTIFICATE, legacy.CHAIN, legacy.BUNDLE]), st.text()))
def test_any_annotations_give_only_our_errors(annotations):
    try:
        legacy.parse_layer(b"x", annotations, "")
    except SealgateError as error:
        assert error.code == "envelope-invalid"


@pytest.mark.parametrize("path", sorted((RECORDED / "blob-bundles").iterdir()), ids=lambda path: path.stem)
def test_recorded_blob_bundles_are_read_and_written_byte_for_byte(path):
    raw = path.read_bytes()
    found = legacy.parse_blob_bundle(raw)
    assert legacy.encode_blob_bundle(found) == raw.rstrip(b"\n")
    assert (found.certificate is not None) == ("25-bundle" not in path.stem.removeprefix("blob-") or "c25" in path.stem)
    assert (found.log_entry is not None) == ("c25" in path.stem)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"base64Signature": ""},
        {"base64Signature": 5},
        {"base64Signature": "YQ"},
        {"base64Signature": "YQ==", "cert": ""},
        {"base64Signature": "YQ==", "cert": "IAo="},
        {"base64Signature": "YQ==", "cert": None},
        {"base64Signature": "YQ==", "cert": PEM},
        {"base64Signature": "YQ==", "rekorBundle": "x"},
    ],
    ids=str,
)
def test_malformed_blob_bundles_are_refused(document):
    assert legacy.parse_blob_bundle(b'{"base64Signature":"YQ==","cert":"YQ==","more":1}').signature == b"a"
    with pytest.raises(BundleInvalidError) as caught:
        legacy.parse_blob_bundle(json.dumps(document).encode())
    assert caught.value.code == "bundle-invalid"


def test_M03_blob_bundles_that_mean_two_things_are_refused():
    with pytest.raises(JsonAmbiguousError):
        legacy.parse_blob_bundle(b'{"base64Signature":"YQ==","base64Signature":"Yg=="}')


@given(st.binary(max_size=60))
def test_bytes_give_only_our_errors(data):
    with pytest.raises(SealgateError):
        legacy.parse_blob_bundle(data)
