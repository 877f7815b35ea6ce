"""index.json: any bytes, any entries, any order of changes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sealgate.digest import Digest
from sealgate.errors import SealgateError
from sealgate.oci import layout_index
from sealgate.oci.descriptor import Descriptor
from sealgate.oci.layout_index import REF_NAME, Index
from sealgate.oci.manifest import OCI_MANIFEST

IMAGE = Digest.parse("sha256:3ea851cf02f8bd7b2f8067f597d1084fb165234e9f211ff124f60348f8874fef")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(["v1", "v2", f"sha256-{IMAGE.hex}", f"sha256-{IMAGE.hex}.sig", "häß:/x"])
kinds = st.sampled_from(
    ["dev.cosignproject.cosign/image", "dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts", "other"]
)
digests = st.sampled_from([IMAGE, Digest.of(b"1"), Digest.of(b"2"), Digest.of(b"2", "sha512")])
annotated = st.fixed_dictionaries({}, optional={REF_NAME: names, "kind": kinds, "x": st.text(max_size=3)})
descriptors = st.builds(
    lambda digest, annotations: Descriptor(OCI_MANIFEST, 1, digest, tuple(annotations.items())), digests, annotated
)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_anything_is_an_index_or_an_error_of_ours(raw):
    try:
        layout_index.parse(raw, "it")
    except SealgateError as error:
        assert error.code in {"layout-invalid", "json-ambiguous", "limit-exceeded"}


@given(st.dictionaries(st.sampled_from(["mediaType", "size", "digest", "annotations", "platform", "x"]), json_values))
def test_any_entry_is_read_or_an_error_of_ours(entry):
    raw = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    try:
        found = layout_index.parse(raw, "it")
    except SealgateError as error:
        assert error.code in {"layout-invalid", "json-ambiguous", "limit-exceeded"}
    else:
        assert found.entries[0].document == entry


@given(st.lists(descriptors, max_size=8))
def test_an_index_survives_being_written(listed):
    index = Index()
    for descriptor in listed:
        index = index.listed(descriptor)
    assert layout_index.parse(index.encode(), "it") == index


@given(st.lists(descriptors, max_size=6), names, digests)
def test_listing_a_name_gives_it_to_that_content_and_changes_no_other(listed, name, digest):
    before = Index()
    for descriptor in listed:
        before = before.listed(descriptor)
    after = before.listed(Descriptor(OCI_MANIFEST, 1, digest, ((REF_NAME, name),)))
    assert after.tagged(name, "it").descriptor.digest == digest
    assert after.of(digest) is not None
    for other in set(before.tags()) - {name}:
        with_other = [entry.descriptor.digest for entry in before.entries if entry.tag == other]
        assert [entry.descriptor.digest for entry in after.entries if entry.tag == other] == with_other
    assert name not in after.without_tag(name).tags() or after.without_tag(name) != after
    assert after.without_digest(digest).of(digest) is None
