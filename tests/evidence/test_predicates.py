"""Predicate types and cosign's short names."""

import pytest

from sealgate.errors import UsageError
from sealgate.evidence import predicates


def test_short_names_stand_for_types():
    assert predicates.type_of("slsaprovenance") == "https://slsa.dev/provenance/v0.2"
    assert predicates.type_of("vuln") == "https://cosign.sigstore.dev/attestation/vuln/v1"
    assert predicates.short_names(predicates.SPDX) == ("spdx", "spdxjson")
    assert predicates.short_names(predicates.IMAGE_SIGNATURE) == ()


@pytest.mark.parametrize("uri", ["https://example.com/my/type", "urn:x", predicates.IMAGE_SIGNATURE])
def test_a_uri_stands_for_itself(uri):
    assert predicates.type_of(uri) == uri


@pytest.mark.parametrize(
    "name", ["", "nope", "SPDX", "https:", ":x", "1a:x", "https://a b", "https://é", "https://a\n", "a/b:c"]
)
def test_anything_else_is_a_usage_error(name):
    with pytest.raises(UsageError) as caught:
        predicates.type_of(name)
    assert caught.value.code == "usage"
