"""JSON Schema (drafts 4 to 2020-12): the Statement must be valid against it.

JSON Schema lets pass what it does not speak of. A condition must not, so a schema is refused unless it says wherever it
has `properties`, but in `not` and `if`, that what it speaks of is an `object` and which members are `required`; and a keyword
that no draft knows is refused, because validators ignore it. References lead nowhere but into the schema itself.
Regular expressions are matched in linear time; formats are checked, unknown ones refused.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sealgate.conditions.result import EngineMissingError, PolicyError

_ONE = frozenset(
    """additionalItems additionalProperties contains contentSchema else if items not propertyNames then unevaluatedItems
    unevaluatedProperties""".split()
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAPS = frozenset({"$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_ASSERTIONS = frozenset(
    """const dependentRequired enum exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength maxProperties
    maximum minContains minItems minLength minProperties minimum multipleOf pattern required type uniqueItems""".split()
)
_NOTES = frozenset(
    """$anchor $comment $dynamicAnchor $id $recursiveAnchor $schema $vocabulary contentEncoding contentMediaType default
    deprecated description examples id readOnly title writeOnly""".split()
)
_COMPOSED = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})
"""A root that has one of these need not describe an object itself."""
_KNOWN = _ONE | _LISTS | _MAPS | _REFERENCES | _ASSERTIONS | _NOTES


def _retrieve(uri: str) -> NoReturn:
    message = f"nothing is fetched for a schema: {uri}"
    raise ValueError(message)


class Schema:
    """A schema that was looked through."""

    def __init__(self, source: str) -> None:
        """Raises `PolicyError`."""
        try:
            import jsonschema_rs
        except ImportError as error:
            raise EngineMissingError("JSON Schema needs the package jsonschema-rs: install sealgate[policy]") from error
        try:
            schema = json.loads(source, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"is not JSON: {str(error)[:100]}") from error
        if not isinstance(schema, dict):
            raise PolicyError("is not a JSON Schema: it is no object")
        if not schema.keys() - _NOTES - {"$defs", "definitions"}:
            raise PolicyError("demands nothing")
        old = any(draft in str(schema.get("$schema")) for draft in ("draft-04", "draft-06", "draft-07"))
        _look(schema, "#", 0, demands=True, old=old)
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                validate_formats=True,
                ignore_unknown_formats=False,
                retriever=_retrieve,
                pattern_options=jsonschema_rs.RegexOptions(),
            )
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise PolicyError(f"is not a JSON Schema: {str(error)[:200]}") from error
        self._invalid = jsonschema_rs.ValidationError

    def evaluate(self, document: Any, now: int) -> str | None:
        """None if the document is valid, else the first reason why not. Raises `PolicyError`."""
        try:
            if self._validator.is_valid(document) is True:
                return None
            error = next(iter(self._validator.iter_errors(document)))
        except (ValueError, StopIteration) as failure:
            raise PolicyError(f"the validation failed: {str(failure)[:200]}") from failure
        place = "/".join(str(step) for step in error.instance_path)
        return f"at /{place}: {error.message[:200]}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PolicyError("is not a JSON Schema: an object has the same key twice")
    return found


def _look(schema: Any, place: str, depth: int, *, demands: bool, old: bool) -> None:
    """Every schema in the schema: keywords that are known, references that stay inside, and that what is missing fails.

    `demands` is false in `not` and `if`, where a schema does not say what must be; `old`: drafts 4 to 7.
    """
    if depth > 64:
        raise PolicyError("is nested too deep")
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        if keyword not in _KNOWN:
            raise PolicyError(f"{place} has {keyword!r}, which no draft of JSON Schema knows: it would be ignored")
        if keyword in _REFERENCES and not (isinstance(value, str) and value.startswith("#")):
            raise PolicyError(f"{place} refers to {str(value)[:100]!r}: a reference leads into the schema itself, #/…")
        if keyword in {"$id", "id"} and place != "#":
            raise PolicyError(f"{place} has {keyword!r}: one schema in another is not followed")
        inner = demands and keyword not in {"not", "if"}
        if keyword in _MAPS and isinstance(value, dict):
            for name, each in value.items():
                _look(each, f"{place}/{keyword}/{name}", depth + 1, demands=inner, old=old)
        elif keyword in _LISTS and isinstance(value, list):
            for index, each in enumerate(value):
                _look(each, f"{place}/{keyword}/{index}", depth + 1, demands=inner, old=old)
        elif keyword in _ONE | _LISTS:
            _look(value, f"{place}/{keyword}", depth + 1, demands=inner, old=old)
    if old and "$ref" in schema and schema.keys() - _NOTES - {"$ref", "$defs", "definitions"}:
        raise PolicyError(f"{place} has more than its $ref, which drafts 4 to 7 ignore: use allOf")
    if demands and ("properties" in schema or (depth == 0 and not schema.keys() & _COMPOSED)):
        if schema.get("type") != "object":
            raise PolicyError(f'{place} needs "type": "object": its demands would not hold for anything else')
        if not isinstance(schema.get("required"), list):
            raise PolicyError(f'{place} needs "required", the members that must not be missing ([] if all of them may)')
