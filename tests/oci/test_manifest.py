"""Manifests: what is believed, what is refused, and the bytes that are written.

`recorded/` has manifests as cosign 3.1.1 left them in a registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.digest import Digest
from sealgate.errors import (
    ContentError,
    DigestInvalidError,
    DigestMismatchError,
    JsonAmbiguousError,
    JsonInvalidError,
    LimitError,
    ManifestAmbiguousError,
    ManifestInvalidError,
    ManifestUnsupportedError,
)
from sealgate.oci import manifest as manifests
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

RECORDED = pathlib.Path(__file__).parent / "recorded"
IMAGE_DIGEST = "sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def descriptor(content: bytes = b"x", media_type: str = "application/x", **more: Any) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "size": len(content), "digest": digest, **more}


def image(**changes: Any) -> dict[str, Any]:
    found = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(), "layers": [descriptor()], **changes}
    return {key: value for key, value in found.items() if value is not ...}


def index(**changes: Any) -> dict[str, Any]:
    found = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(media_type=OCI_MANIFEST)], **changes}
    return {key: value for key, value in found.items() if value is not ...}


def parse(document: Any, content_type: str | None = None, expected: Digest | None = None):
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return manifests.parse(raw, content_type, expected=expected, what="the manifest")


def refused(
    error: type[ContentError], document: Any, content_type: str | None = None, expected: Digest | None = None
) -> str:
    with pytest.raises(error) as caught:
        parse(document, content_type, expected)
    assert type(caught.value) is error
    assert caught.value.code == error.code
    return caught.value.message


# -- one hash, one meaning


def test_the_bytes_and_the_digest_are_kept() -> None:
    raw = recorded("image.manifest.json")
    found = parse(raw, OCI_MANIFEST, Digest.parse(IMAGE_DIGEST))
    assert (found.raw, str(found.digest), found.media_type, found.is_index) == (raw, IMAGE_DIGEST, OCI_MANIFEST, False)
    assert parse(raw).digest == found.digest
    assert found.descriptor() == Descriptor(OCI_MANIFEST, 401, found.digest)


def test_T02_T15_bytes_of_another_digest_are_refused_before_they_are_read() -> None:
    raw = recorded("image.manifest.json")
    message = refused(DigestMismatchError, raw + b" ", OCI_MANIFEST, Digest.parse(IMAGE_DIGEST))
    assert IMAGE_DIGEST in message
    assert str(Digest.of(raw + b" ")) in message
    refused(DigestMismatchError, b"not even JSON", None, Digest.parse(IMAGE_DIGEST))


def test_M15_a_sha512_digest_is_compared_as_such() -> None:
    raw = recorded("image.manifest.json")
    assert parse(raw, None, Digest.of(raw, "sha512")).digest == Digest.of(raw, "sha512")
    refused(DigestMismatchError, raw + b" ", None, Digest.of(raw, "sha512"))


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
@pytest.mark.parametrize(
    "said", [None, "", "application/json", "application/octet-stream", "text", "same", "same; charset=utf-8"]
)
def test_image_types(media_type, said) -> None:
    said = said and said.replace("same", media_type)
    if said == "text":
        refused(ManifestAmbiguousError, image(mediaType=media_type), "text/plain")
        return
    assert parse(image(mediaType=media_type), said).media_type == media_type


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_index_types(media_type) -> None:
    for said in (None, media_type, "application/json"):
        found = parse(index(mediaType=media_type), said)
        assert (found.media_type, found.is_index) == (media_type, True)


def test_without_a_type_in_the_body_the_header_or_the_shape_decides() -> None:
    assert parse(image(mediaType=...)).media_type == OCI_MANIFEST
    assert parse(index(mediaType=...), "application/json").media_type == OCI_INDEX
    assert parse(image(mediaType=...), DOCKER_MANIFEST).media_type == DOCKER_MANIFEST
    assert parse(index(mediaType=...), OCI_INDEX.upper()).media_type == OCI_INDEX


@pytest.mark.parametrize("said", [OCI_MANIFEST, OCI_INDEX, None, "application/json"])
@pytest.mark.parametrize("written", [OCI_MANIFEST, OCI_INDEX, ...])
@pytest.mark.parametrize("entries", [[descriptor(b"evil", OCI_MANIFEST)], [], None])
def test_M01_a_manifest_that_is_also_an_index(said, written, entries) -> None:
    refused(ManifestAmbiguousError, image(mediaType=written, manifests=entries), said)
    refused(ManifestAmbiguousError, index(mediaType=written, layers=entries), said)
    refused(ManifestAmbiguousError, index(mediaType=written, config=None), said)
    refused(ManifestAmbiguousError, index(mediaType=written, fsLayers=entries), said)


def test_M01_T16_the_body_and_the_content_type_agree() -> None:
    assert parse(image(), OCI_MANIFEST)
    refused(ManifestAmbiguousError, image(), OCI_INDEX)
    refused(ManifestAmbiguousError, image(), DOCKER_MANIFEST)
    refused(ManifestAmbiguousError, index(), OCI_MANIFEST)
    refused(ManifestAmbiguousError, image(mediaType=...), OCI_INDEX)
    refused(ManifestAmbiguousError, index(mediaType=...), OCI_MANIFEST)
    refused(ManifestAmbiguousError, image(mediaType=OCI_INDEX))
    refused(ManifestAmbiguousError, index(mediaType=OCI_MANIFEST))


def test_T16_one_accept_header_of_what_is_read() -> None:
    assert set(manifests.ACCEPT.split(",")) == {OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"schemaVersion":2,"layers":[],"layers":[],"config":{}}',
        b'{"schemaVersion":2,"layers":[],"Layers":[],"config":{}}',
        b'{"schemaVersion":2,"mediaType":"a","mediatype":"b"}',
        b'{"schemaVersion":NaN}',
        b'{"schemaVersion":2,"config":{"digest":"a","digest":"b"},"layers":[]}',
    ],
)
def test_M03_ambiguous_json(raw) -> None:
    refused(JsonAmbiguousError, raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{}x", b"\xff", b"\xef\xbb\xbf{}", b'{"schemaVersion":2'])
def test_not_json(raw) -> None:
    refused(JsonInvalidError, raw)


def test_M14_schema_1_is_refused() -> None:
    old = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": [], "signatures": []}
    assert "schema 1" in refused(ManifestUnsupportedError, old)
    refused(ManifestUnsupportedError, old, SCHEMA_1)
    refused(ManifestUnsupportedError, image(), SCHEMA_1)
    refused(ManifestUnsupportedError, image(mediaType=...), SCHEMA_1.replace("json", "prettyjws"))
    refused(ManifestUnsupportedError, image(mediaType=SCHEMA_1))
    refused(ManifestUnsupportedError, image(fsLayers=[]))


def test_other_types_are_refused() -> None:
    artifact = {
        "mediaType": "application/vnd.oci.artifact.manifest.v1+json",
        "artifactType": "a/b",
        "blobs": [descriptor()],
    }
    refused(ManifestUnsupportedError, artifact)
    refused(ManifestUnsupportedError, artifact, artifact["mediaType"])
    refused(ManifestUnsupportedError, image(mediaType="application/vnd.oci.image.config.v1+json"))
    refused(ManifestUnsupportedError, image(mediaType=...), "text/html")
    for value in (1, "", [], {}, "x" * 300):
        refused(ManifestInvalidError, image(mediaType=value))


@pytest.mark.parametrize("version", [..., None, 3, "2", 2.0, True, 0, -2])
def test_schema_version(version) -> None:
    refused(ManifestInvalidError, image(schemaVersion=version))
    refused(ManifestInvalidError, index(schemaVersion=version))


def test_shapes() -> None:
    for document in (
        image(layers=...),
        image(config=...),
        image(layers={}),
        image(layers="x"),
        image(config=None),
        image(config=[]),
    ):
        refused(ManifestInvalidError, document)
    for document in (index(manifests={}), index(manifests="x")):
        refused(ManifestInvalidError, document)
    # Go writes an empty list as null
    assert manifests.layers(parse(image(layers=None))) == ()
    assert manifests.children(parse(index(manifests=None))) == ()


# -- descriptors

BAD_DIGESTS = [
    "sha256:../../x",
    "sha256:",
    "md5:" + "a" * 32,
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "sha256:" + "A" * 64,
    7,
    None,
]


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_R10_digests_are_checked_before_anything_uses_them(digest) -> None:
    bad = {**descriptor(), "digest": digest}
    refused(DigestInvalidError, image(layers=[descriptor(), bad]))
    refused(DigestInvalidError, image(config=bad))
    refused(DigestInvalidError, image(subject=bad))
    refused(DigestInvalidError, index(subject=bad))
    found = parse(index(manifests=[bad, descriptor()]))
    with pytest.raises(DigestInvalidError):
        manifests.children(found)
    # the referrers fallback index: a junk entry hides nothing
    assert [str(child.digest) for child in manifests.children(found, skip_malformed=True)] == [descriptor()["digest"]]


@pytest.mark.parametrize(
    "bad", [{"size": -1}, {"size": "1"}, {"size": True}, {"size": None}, {"mediaType": ""}, {"annotations": {"a": 1}}]
)
def test_malformed_descriptors(bad) -> None:
    assert parse(image())
    refused(ManifestInvalidError, image(config={**descriptor(), **bad}))
    refused(ManifestInvalidError, image(layers=[{**descriptor(), **bad}]))
    refused(ManifestInvalidError, image(layers=["x"]))


def test_M13_inline_data_is_the_content() -> None:
    def with_data(data: Any, **more: Any) -> dict[str, Any]:
        return image(config=descriptor(b"{}", data=data, **more))

    assert manifests.config(parse(with_data(base64.b64encode(b"{}").decode())))
    refused(DigestMismatchError, with_data(base64.b64encode(b"[]").decode()))
    refused(DigestMismatchError, with_data(base64.b64encode(b"{}").decode(), size=3))
    refused(DigestMismatchError, with_data(""))
    for data in ("e30", "???", 1, [], "e30\n="):
        refused(ManifestInvalidError, with_data(data))
    with pytest.raises(DigestMismatchError):
        manifests.children(parse(index(manifests=[descriptor(data="AAAA")])))


def test_limits() -> None:
    assert parse(image(annotations={"a": "x" * 1000}))
    refused(LimitError, b" " * (limits.MANIFEST_BYTES + 1))
    refused(LimitError, image(layers=[descriptor()] * (limits.MANIFEST_LAYERS + 1)))
    assert len(manifests.layers(parse(image(layers=[descriptor()] * limits.MANIFEST_LAYERS)))) == limits.MANIFEST_LAYERS
    with pytest.raises(LimitError):
        manifests.children(parse(index(manifests=[descriptor()] * (limits.INDEX_CHILDREN + 1))))
    refused(LimitError, b'{"a":' * 100 + b"1" + b"}" * 100)


# -- reading


def test_reads_what_cosign_wrote() -> None:
    bundle = parse(recorded("bundle.manifest.json"))
    assert manifests.artifact_type(bundle) == BUNDLE_TYPE
    assert str(manifests.subject(bundle).digest) == IMAGE_DIGEST
    assert manifests.annotations(bundle)["dev.sigstore.bundle.content"] == "dsse-envelope"
    assert [layer.media_type for layer in manifests.layers(bundle)] == [BUNDLE_TYPE]
    assert manifests.children(bundle) == ()
    legacy = parse(recorded("legacy.manifest.json"))
    assert manifests.artifact_type(legacy) == "application/vnd.oci.image.config.v1+json"
    assert manifests.subject(legacy) is None
    assert manifests.annotations(legacy) == {}
    assert manifests.layers(legacy)[0].annotation("dev.cosignproject.cosign/signature").startswith("MEUCIG54")
    fallback = parse(recorded("fallback.index.json"))
    assert manifests.children(fallback)[0].artifact_type == "application/vnd.oci.empty.v1+json"
    assert manifests.layers(fallback) == ()
    assert manifests.config(fallback) is None
    assert manifests.artifact_type(fallback) is None


# -- writing


def test_writes_the_legacy_manifest_as_cosign_does() -> None:
    raw = recorded("legacy.manifest.json")
    found = parse(raw)
    config = Descriptor(
        "application/vnd.oci.image.config.v1+json",
        233,
        Digest.parse("sha256:7d8d545b1cec778de30be8d47cc94a0cb1e212d6dd04539d541eec7b492fa874"),
    )
    layer = Descriptor(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        241,
        Digest.parse("sha256:ab83360ef349f37069baed3bf20f95bab5a9937db39bf8f6d8e8d57a0cef23fa"),
        (
            (
                "dev.cosignproject.cosign/signature",
                "MEUCIG54L3RwqkJoKSiiKG/zr/CXTv+zyX/ciMRR89YINpsbAiEAmjjoVDcVVp/fF034UcjfTX4jC2BA91TqZg9oQj3z6Kg=",
            ),
        ),
    )
    assert manifests.encode_image_manifest(config, [layer]) == raw
    assert manifests.encode_image_manifest(config, found.document["layers"]) == raw


def test_writes_the_bundle_manifest_as_cosign_does() -> None:
    empty = Descriptor("application/vnd.oci.empty.v1+json", 2, Digest.of(b"{}"), artifact_type=BUNDLE_TYPE)
    bundle = Descriptor(
        BUNDLE_TYPE, 659, Digest.parse("sha256:bf4e4bddba9f97ec1957384a8c0208a9750d38b9f5b1fd5af6cda878b7d8a979")
    )
    written = manifests.encode_image_manifest(
        empty,
        [bundle],
        annotations={
            "org.opencontainers.image.created": "2026-11-22T11:32:05Z",
            "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
            "dev.sigstore.bundle.content": "dsse-envelope",
        },
        subject=parse(recorded("image.manifest.json")).descriptor(),
        artifact_type=BUNDLE_TYPE,
    )
    assert written == recorded("bundle.manifest.json")
    assert str(Digest.of(written)).startswith("sha256:ff8ef6b995b2")


def test_writes_the_fallback_index_as_cosign_does() -> None:
    raw = recorded("fallback.index.json")
    assert manifests.encode_index(manifests.children(parse(raw))) == raw


def test_entries_of_others_keep_every_field() -> None:
    entry = descriptor(
        platform={"os": "linux", "architecture": "arm64"}, urls=["https://x"], annotations={"b": "1", "a": "2"}
    )
    assert json.loads(manifests.encode_index([entry], annotations={"k": "v"}, media_type=DOCKER_LIST)) == {
        "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry], "annotations": {"k": "v"},
    }  # fmt: skip


def test_escapes_as_go_does() -> None:
    written = manifests.encode_json({"a": '<b>&\u2028\u2029ü"\\\n\x01\x7f'})
    assert written == '{"a":"\\u003cb\\u003e\\u0026\\u2028\\u2029ü\\"\\\\\\n\\u0001\x7f"}'.encode()


# -- properties

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.sampled_from(BAD_DIGESTS)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations", "artifactType", "blobs"]
)


@given(
    st.sampled_from([image, index]),
    st.dictionaries(FIELDS, JSON, max_size=3),
    st.sampled_from([None, OCI_MANIFEST, OCI_INDEX]),
)
def test_any_document_is_read_or_refused(make, changes, said) -> None:
    try:
        found = parse({**make(), **changes}, said)
        manifests.children(found, skip_malformed=True)
        manifests.artifact_type(found)
        manifests.annotations(found)
    except ContentError:
        return
    assert found.is_index == (found.media_type in {OCI_INDEX, DOCKER_LIST})


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(raw) -> None:
    with pytest.raises(ContentError):
        parse(raw)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5))
def test_what_is_written_reads_the_same(annotations) -> None:
    folded = {key.casefold(): (key, value) for key, value in annotations.items()}
    annotations = dict(folded.values())
    entry = Descriptor("a/b", 1, Digest.of(b"x"), tuple(annotations.items()))
    found = parse(manifests.encode_image_manifest(entry, [entry], annotations=annotations))
    assert manifests.annotations(found) == annotations
    assert dict(manifests.layers(found)[0].annotations) == annotations
