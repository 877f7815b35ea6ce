"""CEL: BOOL and true passes, nothing else."""

import pytest


@pytest.mark.parametrize(
    "source",
    [
        "predicate.level == 3",
        "input.predicate.level >= 3 && input.predicateType.startsWith('https://')",
        "// tags\npredicate.tags.all(t, t in ['a', 'b'])",
        "!has(predicate.missing)",
        "predicate.?missing.orValue(0) == 0",
        "predicate.name.matches('^(a+)+p+$')",
        "now == timestamp('2023-11-14T22:13:20Z')",
        "now - timestamp('2023-11-14T00:00:00Z') < duration('24h')",
        "predicate.tags.size() == 2 && 'a,b'.split(',') == predicate.tags",
    ],
)
def test_what_is_true_passes(say, source):
    assert say("cel", source).outcome == "passed"


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("predicate.level == 4", "failed"),
        ("'true'", "error"),
        ("1", "error"),
        ("null", "error"),
        ("predicate.name", "failed"),
        ("predicate.level", "failed"),
        ("predicate", "failed"),
        ("predicate.missing", "error"),
        ("predicate.missing == 1", "error"),
        ("predicate.missing != 1", "error"),
        ("!(predicate.missing == 1)", "error"),
        ("predicate.missing.all(x, x > 0)", "error"),
        ("predicate.name > 3", "error"),
        ("1 / 0 == 1", "error"),
        ("dyn(1) == 'a'", "failed"),
        ("getenv('HOME') == ''", "error"),
        ("unknown == 1", "error"),
        ("predicate.level ==", "error"),
        ("predicate.name.matches('(')", "error"),
    ],
)
def test_type_confusion_and_errors_are_no_yes(say, source, outcome):
    assert say("cel", source).outcome == outcome


def test_a_statement_without_predicate_fails(say):
    raw = b'{"_type": "https://in-toto.io/Statement/v1", "subject": [], "predicateType": "x"}'
    assert say("cel", "input.predicateType == 'x'", raw=raw).outcome == "passed"
    assert say("cel", "predicate != 1", raw=raw).outcome == "error"


def test_a_number_beyond_64_bits_is_an_error(say):
    assert say("cel", "predicate.n > 1", {"n": 2**63 - 1}).outcome == "passed"
    assert say("cel", "predicate.n > 1", {"n": 2**64}).outcome == "error"


def test_D12_loops_in_loops_are_bounded(say):
    def nested(levels):
        return "".join(f"[0,1,2,3,4,5,6,7,8,9].all(v{n}, " for n in range(levels)) + "true" + ")" * levels

    assert say("cel", nested(2)).outcome == "passed"
    assert say("cel", nested(8)).outcome == "error"
