"""Statements and policies for the tests of conditions."""

import json
import time

import pytest

from sealgate.conditions.evaluation import Conditions
from sealgate.conditions.policy import parse


def statement(predicate=None, **members):
    """A Statement as bytes."""
    whole = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://example.com/predicate",
        "predicate": predicate if predicate is not None else {"level": 3, "name": "app", "tags": ["a", "b"]},
    } | members
    return json.dumps(whole).encode()


@pytest.fixture
def say():
    """`say("rego", source, predicate)` gives the one result."""

    def said(extension, source, predicate=None, *, raw=None, path="/nonexistent", **bounds):
        policy = parse(f"policy.{extension}", source.encode())
        with Conditions(
            [policy], now=lambda: 1_700_000_000, monotonic=time.monotonic, path=path, **bounds
        ) as conditions:
            (result,) = conditions.judge(raw if raw is not None else statement(predicate))
        return result

    return said
