"""JSON Schema: what is demanded must be there, nothing is fetched, nothing is ignored."""

import json

import pytest


def schema(predicate, **members):
    return json.dumps({"type": "object", "required": ["predicate"], "properties": {"predicate": predicate}} | members)


def with_name(**rules):
    return {"type": "object", "required": ["name"], "properties": {"name": rules}}


@pytest.mark.parametrize(
    "source",
    [
        schema(with_name(const="app")),
        schema(with_name(type="string", pattern="^(a+)+p+$")),
        schema({"$ref": "#/$defs/p"}, **{"$defs": {"p": with_name(const="app")}}),
        schema(with_name(const="app"), **{"$schema": "http://json-schema.org/draft-07/schema#"}),
        schema({"type": "object", "required": [], "properties": {"missing": {"type": "string"}}}),
        schema({"not": {"properties": {"name": {"const": "other"}}}}),
        schema({"type": "object", "required": ["n"]} | {"properties": {"n": {"const": 12345678901234567890123}}}),
        '{"allOf": [{"type": "object", "required": ["predicate"]}]}',
    ],
)
def test_valid_passes(say, source):
    predicate = {"name": "app", "n": 12345678901234567890123}
    assert say("json", source, predicate).outcome == "passed"


def test_numbers_are_not_cut(say):
    source = schema({"type": "object", "required": ["n"], "properties": {"n": {"const": 12345678901234567890123}}})
    assert say("json", source, {"n": 12345678901234567890123}).outcome == "passed"
    assert say("json", source, {"n": 12345678901234567890124}).outcome == "failed"


@pytest.mark.parametrize(
    ("rules", "predicate"),
    [
        ({"const": "other"}, {"name": "app"}),
        ({"const": "app"}, {}),
        ({"const": "app"}, "name"),
        ({"const": "app"}, ["name"]),
        ({"type": "string"}, {"name": 1}),
        ({"format": "date-time"}, {"name": "yesterday"}),
        ({"pattern": "^(a+)+$"}, {"name": "a" * 60 + "b"}),
    ],
)
def test_D09_invalid_fails(say, rules, predicate):
    result = say("json", schema(with_name(**rules)), predicate)
    assert (result.outcome, bool(result.message)) == ("failed", True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}", "demands nothing"),
        ('{"title": "nothing"}', "demands nothing"),
        ("true", "no object"),
        ("[]", "no object"),
        ("{", "not JSON"),
        ('{"type": "object", "type": "string"}', "twice"),
        ('{"type": "object"}', '"required"'),
        ('{"required": ["predicate"]}', '"type": "object"'),
        (schema({"properties": {"name": {"const": "app"}}}), '"type": "object"'),
        (schema({"type": "object", "properties": {"name": {"const": "app"}}}), '"required"'),
        (
            schema({"$ref": "#/$defs/p"}, **{"$defs": {"p": {"properties": {"name": {"const": "x"}}}}}),
            '"type": "object"',
        ),
        (schema({"anyOf": [{"properties": {"name": {"const": "x"}}}]}), '"type": "object"'),
        (schema({"type": "array", "items": {"type": "object", "properties": {"s": {"const": "x"}}}}), '"required"'),
        (
            schema(
                {"$ref": "#/definitions/p", "type": "string"},
                **{"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"p": True}},
            ),
            "ignore",
        ),
        (schema(with_name(cnst="app")), "'cnst'"),
        (schema({"type": "object", "requird": ["name"]}), "'requird'"),
        (schema({"type": "nonsense"}), "not a JSON Schema"),
        (schema(with_name(format="nonsense")), "not a JSON Schema"),
        (schema(with_name(pattern="(?=a)")), "not a JSON Schema"),
        (schema({"$ref": "http://127.0.0.1:1/x"}), "leads into the schema"),
        (schema({"$ref": "file:///etc/passwd"}), "leads into the schema"),
        (schema({"$ref": "other.json"}), "leads into the schema"),
        (schema({"not": {"items": {"$dynamicRef": "http://127.0.0.1:1/x"}}}), "leads into the schema"),
        (schema({"$id": "http://127.0.0.1:1/x", "type": "object"}), "not followed"),
        (schema({}, **{"$schema": "http://127.0.0.1:1/x"}), "not a JSON Schema"),
    ],
)
def test_schemas_that_would_let_pass_or_reach_outside_are_refused(say, source, message):
    result = say("json", source)
    assert result.outcome == "error"
    assert message in result.message
