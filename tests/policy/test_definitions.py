"""The definitions for the cluster (CRDs) say what docs/image-policy.schema.json says, but for differences that are named here."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from policy.test_documented import EXAMPLES, SCHEMA
from sealgate.admission.cluster import definitions

DEFINED = {each["spec"]["names"]["kind"]: each["spec"] for each in definitions.documents()}
OPEN = {"spec.require": "demands stand in demands, which a structural schema cannot say: any object"}
"""Where a definition stops, and why; the reader judges what stands below."""
LOOSER = {
    "pattern": "patterns of names, spans and digests are the reader's to judge; a definition asks for text",
    "minProperties": "no demand and no match at all is the reader's to refuse",
    "maxProperties": "as minProperties",
    "anyOf": "what must stand beside what is the reader's to judge",
    "additionalProperties": "what is unknown is kept, so that the reader can refuse it (x-kubernetes-preserve-unknown-fields)",
}
"""Keywords of the schema that a definition leaves out, and why."""


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """With what `$ref` names in its place."""
    if "$ref" not in schema:
        return schema
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    return {**resolved(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]), **rest}


def of_kind(kind: str) -> dict[str, Any]:
    name = "objectException" if kind == "PolicyException" else "policy"
    return resolved(SCHEMA["$defs"][name])


def defined(kind: str) -> dict[str, Any]:
    [version] = DEFINED[kind]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def pairs(ours: dict[str, Any], theirs: dict[str, Any], place: str = "spec"):
    """Every place of the schema, beside the definition's."""
    ours = resolved(ours)
    yield place, ours, theirs
    if place in OPEN:
        return
    assert ours.get("properties", {}).keys() == theirs.get("properties", {}).keys(), place
    for name, each in ours.get("properties", {}).items():
        yield from pairs(each, theirs["properties"][name], f"{place}.{name}")
    if isinstance(ours.get("items"), dict):
        yield from pairs(ours["items"], theirs["items"], f"{place}[]")


PAIRS = [
    pytest.param(*each, id=f"{kind}-{each[0]}") for kind in DEFINED for each in pairs(of_kind(kind), defined(kind))
]


def test_the_kinds_scopes_and_the_version_are_the_same():
    assert set(SCHEMA["properties"]["kind"]["enum"]) == set(DEFINED)
    assert {kind for kind, spec in DEFINED.items() if spec["scope"] == "Namespaced"} == {"ImagePolicy"}
    for spec in DEFINED.values():
        [version] = spec["versions"]
        assert SCHEMA["properties"]["apiVersion"]["const"] == f"{spec['group']}/{version['name']}"
        assert version["schema"]["openAPIV3Schema"]["required"] == ["spec"]


@pytest.mark.parametrize(("place", "ours", "theirs"), PAIRS)
def test_what_the_schema_asks_for_the_definition_asks_for(place, ours, theirs):
    kind = ours.get("type", "string" if "enum" in ours else None)
    assert theirs["type"] == kind
    assert set(theirs.get("required", [])) == set(ours.get("required", []))
    assert set(theirs.get("enum", [])) == set(ours.get("enum", []))
    for bound in ("minItems", "maxItems", "format"):
        assert theirs.get(bound) == ours.get(bound), bound
    if kind == "object" and ours.get("additionalProperties") is False:
        assert theirs[definitions.KEPT] is True
    known = {
        "type",
        "required",
        "enum",
        "minItems",
        "maxItems",
        "format",
        "properties",
        "items",
        "description",
        *LOOSER,
    }
    assert ours.keys() <= known, ours.keys() - known
    text = {"pattern", "minLength"}
    assert theirs.keys() <= known | text | {definitions.KEPT}, theirs.keys() - known


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_every_example_is_valid_and_without_what_is_required_no_more(example):
    schema = copy.deepcopy(defined(example["kind"]))
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))
    validator.validate(example["spec"])
    for name in schema["required"]:
        assert not validator.is_valid({key: value for key, value in example["spec"].items() if key != name})


def test_the_differences_that_are_named_are_there():
    """Else they are no differences any more, and the list above is wrong."""
    text = json.dumps(SCHEMA)
    assert all(f'"{each}"' in text for each in LOOSER)
    assert OPEN.keys() <= {each.values[0] for each in PAIRS}
