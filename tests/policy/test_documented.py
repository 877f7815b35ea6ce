"""What docs/policies.md shows of our own policies is read, its JSON Schema says what the reader says, and both are complete."""

import copy
import json
import re

import jsonschema
import pytest
import yaml

from peers.programs import ROOT
from policy.scene import load, pem
from sealgate.errors import PolicyInvalidError
from sealgate.keys.private import PrivateKey
from sealgate.policy.attestors import Settings
from sealgate.trust import root as roots
from trust_service.authority import pem as certificate_pem

SCHEMA = json.loads((ROOT / "docs" / "image-policy.schema.json").read_bytes())
BLOCKS = re.findall(
    r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "policies.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
EXAMPLES = [found for block in BLOCKS for found in yaml.safe_load_all(block) if "sealgate.dev" in found["apiVersion"]]
_FREE = {"matchLabels", "annotations", "extensions", "metadata"}
"""Where names are the author's own."""


@pytest.fixture(scope="module")
def settings(running_trust_service):
    running_trust_service.reset()
    return Settings(root=roots.parse(json.dumps(running_trust_service.trusted_root()).encode()))


@pytest.fixture(scope="module")
def material(running_trust_service):
    """What stands for the dots of the examples."""
    made = running_trust_service.make_bundle(
        kind="dsse", rekor=1, identity="alice@example.com", statement={"_type": "https://in-toto.io/Statement/v1"}
    )
    chain = running_trust_service.pems()["fulcio_v1.crt.pem"]
    leaf = certificate_pem(made.certificates[:1])
    return {"chain": chain, "authorities": chain, "pem": leaf, "key": pem(PrivateKey.generate())}


class Anything:
    """`References` to whatever is named."""

    def __init__(self, root):
        self._root = root

    def secret(self, namespace, name):
        return {"alice.pub" if name == "team-keys" else "cosign.pub": pem(PrivateKey.generate()).encode()}

    def config_map(self, namespace, name):
        raise AssertionError("none is named")

    def trust_root(self, name):
        return self._root


def filled(value, material, name=""):
    """With real keys and certificates in place of dots."""
    if isinstance(value, dict):
        return {key: filled(each, material, key) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, material, name) for each in value]
    return material.get(name, value) if isinstance(value, str) and "…" in value else value


def valid(document):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def paths(value, place=()):
    """Every name in a document that is a field."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield (*place, name)
            if name not in _FREE:
                yield from paths(each, (*place, name))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from paths(each, (*place, at))


def at(document, place):
    for step in place:
        document = document[step]
    return document


FIELDS = [(number, place) for number, each in enumerate(EXAMPLES) for place in paths(each)]


@pytest.fixture(scope="module")
def read(settings, material, running_trust_service):
    """Load a document with all that it refers to."""
    from policy.sigstore.test_keyless import trust_root
    from sealgate.policy.reading import Source

    root = Source("roots.yaml", trust_root(running_trust_service, "ours"))
    return lambda document: load(filled(document, material), settings=settings, references=Anything(root))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_every_example_is_read_and_valid(read, example):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(example, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert read(example).rules or read(example).exemptions


def test_the_examples_have_every_field():
    found = {place[-1] for _, place in FIELDS}
    known = set()

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("properties"), dict):
                known.update(name for name, each in value["properties"].items() if each is not False)
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(SCHEMA)
    languages = {"rego", "schema", "cue", "regoCompliant"}
    assert known - found - languages == {"status", "namespace"}  # of metadata


@pytest.mark.parametrize(("number", "place"), FIELDS, ids=str)
def test_P18_a_misspelt_field_is_valid_nowhere(read, number, place):
    document = copy.deepcopy(EXAMPLES[number])
    parent = at(document, place[:-1])
    parent[place[-1] + "x"] = parent.pop(place[-1])
    assert not valid(document)
    with pytest.raises(PolicyInvalidError):
        read(document)


@pytest.mark.parametrize(("number", "place"), FIELDS, ids=str)
def test_P18_a_field_of_another_type_is_valid_nowhere(read, number, place):
    document = copy.deepcopy(EXAMPLES[number])
    parent = at(document, place[:-1])
    value = parent[place[-1]]
    parent[place[-1]] = 7 if isinstance(value, str | bool) else "seven"
    assert not valid(document)
    with pytest.raises(PolicyInvalidError):
        read(document)


@pytest.mark.parametrize(
    ("example", "place", "value"),
    [
        (0, "spec.images", []), (0, "spec.require", {}), (0, "spec.require", {"all": []}), (0, "spec.action", "Enforce"), (0, "spec.match", {}),
        (0, "spec.require", {"static": {"action": "pass"}, "all": []}), (0, "spec.deny", {"reason": "x"}), (0, "spec.grace", {"action": "warn"}),
        (0, "spec.grace.until", "2027-01-01"), (0, "spec.exceptions", [{"images": ["a.example.com/x"], "reason": "x"}]), (0, "metadata", {}),
        (0, "metadata.namespace", "shop"), (1, "metadata", {"name": "x"}), (1, "spec.mirrors", [{"mirror": "a.example.com", "of": "b.example.com"}]),
        (1, "spec.require", {"signature": {}}), (1, "spec.require", {"signature": {"keys": []}}), (1, "spec.require", {"sbom": {"formats": ["spdx"]}}),
        (1, "spec.require", {"signature": {"identity": {"subject": "a@example.com"}}}), (1, "spec.require", {"scan": {"by": {"key": {"secret": "x"}}}}),
        (1, "spec.require", {"provenance": {"by": {"key": {"secret": "x"}}}}), (1, "spec.require", {"scan": {"by": {"key": {"secret": "x"}}, "maxAge": "0d"}}),
        (1, "spec.require", {"atLeast": {"count": 0, "of": [{"signature": {"key": {"secret": "x"}}}]}}), (1, "spec.require", {"digests": []}),
        (1, "spec.require", {"signature": {"key": {"secret": "x"}, "keys": [{"secret": "x"}]}}), (1, "spec.require", {"registries": []}),
        (1, "spec.require", {"signature": {"identity": {"issuer": "https://a.example", "issuerRegExp": "x", "subject": "y"}}}),
        (1, "spec.require", {"attestation": {"type": "https://a.example/x", "by": {"key": {"secret": "x"}}, "conditions": [{}]}}),
        (2, "spec.policies", []), (2, "spec.until", None), (2, "metadata.namespace", "shop"), (2, "spec.require", {"static": {"action": "pass"}}),
        (0, "kind", "ImagePolicies"), (0, "apiVersion", "sealgate.dev/v1"),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_reader_refuses(read, example, place, value):
    document = copy.deepcopy(EXAMPLES[example])
    *above, last = place.split(".")
    at(document, above)[last] = value
    assert not valid(document)
    with pytest.raises(PolicyInvalidError):
        read(document)
