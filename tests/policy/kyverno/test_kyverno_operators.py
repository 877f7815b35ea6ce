"""Operators and functions of Kyverno's conditions, by what becomes of an image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.kyverno.scene import block, keys, policy
from policy.scene import codes, load, one
from sealgate.policy.kyverno.quantities import duration, duration_text, moment, moment_text

IMAGE = "registry.example.com/team/unsigned:1.0"
NUMBERS = {
    "n": 3,
    "f": 2.5,
    "t": True,
    "s": "text",
    "l": [1, 2],
    "e": [],
    "o": {"a": "b"},
    "z": None,
    "d": "90m",
    "q": "1536Mi",
    "v": "1.10.0",
}


@pytest.fixture(scope="module")
def asked(registry, good):
    """What a precondition comes to: True, False, or None where it has no answer."""

    def ask(key, operator, value):
        conditions = [{"key": key, "operator": operator, "value": value}]
        policies = load(policy(block(keys(good)), rule={"preconditions": conditions}))
        document = {"metadata": {}, "spec": {"containers": [], "x": NUMBERS}}
        [code] = codes(one(policies, registry, IMAGE, document=document))
        return {"no-signature": True, "image-unmatched": False, "policy-undecided": None}[code]

    return ask


X = "request.object.spec.x"


@pytest.mark.parametrize(
    ("key", "operator", "value", "answer"),
    [
        ("n", "Equals", 3, True), ("n", "Equals", "3", True), ("n", "Equals", 3.0, True), ("n", "NotEquals", 3, False),
        ("f", "Equals", "2.5", True), ("t", "Equals", True, True), ("t", "Equals", "true", False), ("t", "Equals", 1, False),
        ("s", "Equals", "te*", True), ("s", "Equals", "t??t", True), ("s", "NotEquals", "*", False), ("s", "Equal", "text", True),
        ("l", "Equals", [1, 2], True), ("l", "Equals", [2, 1], False), ("o", "Equals", {"a": "b"}, True), ("o", "Equals", "x", False),
        ("d", "Equals", "1h30m", True), ("q", "Equals", "1.5Gi", True), ("q", "GreaterThan", "1Gi", True), ("q", "LessThan", "1Gi", False),
        ("d", "GreaterThan", "1h", True), ("d", "LessThanOrEquals", "90m", True), ("d", "DurationGreaterThan", 3600, True),
        ("d", "DurationLessThan", "1h", False), ("d", "DurationGreaterThanOrEquals", "5400s", True), ("d", "DurationLessThanOrEquals", "1m", False),
        ("v", "GreaterThan", "1.9.9", True), ("v", "LessThan", "1.10.1-rc.1", True), ("v", "GreaterThan", "1.10.0-rc.1", True),
        ("n", "GreaterThan", 2, True), ("n", "GreaterThanOrEquals", "3", True), ("n", "LessThan", "2.9", False), ("n", "LessThanOrEquals", 3, True),
        ("n", "AnyIn", "1-5", True), ("n", "AnyIn", "4-5", False), ("n", "AnyNotIn", "1-5", False), ("n", "AnyIn", "!1-5", False),
        ("l", "AnyIn", [2, 3], True), ("l", "AllIn", [2, 3], False), ("l", "AllIn", [3, 2, 1], True), ("l", "AnyNotIn", [2, 3], True),
        ("l", "AllNotIn", [3, 4], True), ("l", "AllNotIn", [2], False), ("l", "In", [1, 2, 3], True), ("l", "NotIn", [3], True),
        ("s", "AnyIn", '["x", "t*"]', True), ("s", "In", "text", True), ("s", "NotIn", ["x*"], True), ("t", "AnyIn", ["true"], False),
        ("e", "AnyIn", ["x"], False), ("e", "AllNotIn", ["x"], True),
        ("s", "GreaterThan", 3, None), ("l", "LessThan", 3, None), ("t", "GreaterThan", 0, None), ("s", "DurationLessThan", "1h", None),
        ("o", "AnyIn", ["x"], None), ("z", "Equals", "", True), ("z", "GreaterThan", 1, None),
    ],
)  # fmt: skip
def test_operators(asked, key, operator, value, answer):
    assert asked(f"{{{{ {X}.{key} }}}}", operator, value) is answer


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("add(`1`, `2`) == `3`", True), ("add('1h', '30m') == '1h30m0s'", True), ("subtract(`5`, `2`) == `3`", True), ("multiply(`2`, `2.5`) == `5`", True),
        ("divide(`5`, `2`) == `2.5`", True), ("modulo(`5`, `3`) == `2`", True), ("round(`2.345`, `1`) == `2.3`", True),
        ("equal_fold('ABC', 'abc')", True), ("compare('a', 'b') == `-1`", True), ("replace('aaa', 'a', 'b', `2`) == 'bba'", True),
        ("replace_all('aaa', 'a', 'b') == 'bbb'", True), ("trim(' a ', ' ') == 'a'", True), ("trim_prefix('v1', 'v') == '1'", True),
        ("split('a/b', '/') == ['a', 'b']", True), ("regex_replace_all('a(b)', 'xab', '[$1]') == 'x[b]'", True),
        ("regex_replace_all_literal('b+', 'abb', '$1') == 'a$1'", True), ("pattern_match('a*', 'abc')", True), ("truncate('abc', `2`) == 'ab'", True),
        ("label_match({a: 'x'}, {a: 'x', b: 'y'})", True), ("semver_compare('4.1.3', '>=4.1.x')", True), ("semver_compare('1.0.0-rc', '<1.0.0 || >2.0.0')", True),
        ("base64_decode(base64_encode('x')) == 'x'", True), ("parse_json('{\"a\": 1}').a == `1`", True), ("to_boolean('TRUE')", True),
        ("lookup(['a', 'b'], `1`) == 'b'", True), ("items({a: 'b'}, 'k', 'v') == [{k: 'a', v: 'b'}]", True), ("object_from_lists(['a'], ['b']).a == 'b'", True), ("time_add('2027-01-01T00:00:00Z', '24h') == '2027-01-02T00:00:00Z'", True),
        ("time_before('2027-01-01T00:00:00Z', '2027-01-01T00:00:00-01:00')", True), ("time_between('2027-01-02T00:00:00Z', '2027-01-01T00:00:00Z', '2027-01-03T00:00:00Z')", True),
        ("time_diff('2027-01-01T00:00:00Z', '2027-01-01T00:00:01.5Z') == '1.5s'", True), ("sha256('x')[0] == 'a'", False),
    ],
)  # fmt: skip
def test_functions(asked, expression, answer):
    assert asked(f"{{{{ {expression} }}}}", "Equals", True) is answer


@pytest.mark.parametrize(
    "expression",
    [
        "`7`" + " | multiply(@, @)" * 60, "'a' | join(@, ['" + "b" * 500 + "', 'c'])" + " | join(@, split(@, ''))" * 8,
        "to_number('nan')", "to_number('1e999')", "regex_match('(', 'x')", "regex_match(request.object.spec.x.s, '') && regex_match(join('', ['(', 'a']), 'b')",
        "time_add('9999-12-31T23:59:59Z', '999999999999h')", "lookup(request.object.spec.x.l, `99`)", "add('x', 'y')",
        "truncate('abc', to_number('1e999'))", "split(join('', ['a']), @)", "round(`1`, to_number('1e999'))",
    ],
)  # fmt: skip
def test_D09_no_expression_fails_in_another_way_than_without_an_answer(asked, expression):
    """The preconditions of an image that cannot be decided are a refusal, whatever went wrong; nothing is raised."""
    assert asked(f"{{{{ {expression} }}}}", "GreaterThan", 1) is None


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("{{ contains(`[\"{{ request.object.spec.x.s }}\"]`, 'text') }}", True, True), ("{{ '{{ request.object.spec.x.s }}-x' }}", "text-x", True),
        ("{{ `{{ request.object.spec.x.n }}` }}", 3, True), ("{{ request.object.spec.x.\"{{ request.object.spec.x.o.a }}\" || 'none' }}", "none", True),
        ('{{ {a: `{"{{ request.object.spec.x.s }}": 1}`}.a.text }}', 1, True), ("{{ '{{ request.object.spec.x.missing }}' }}", "", True),
    ],
)  # fmt: skip
def test_variables_in_variables(asked, key, value, answer):
    assert asked(key, "Equals", value) is answer


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_durations_are_read_as_they_are_written(nanoseconds):
    text = duration_text(__import__("fractions").Fraction(nanoseconds, 10**9))
    assert duration(text) * 10**9 == nanoseconds


@given(st.integers(min_value=0, max_value=4 * 10**9))
def test_times_are_read_as_they_are_written(seconds):
    assert moment(moment_text(seconds)) == seconds


@given(st.text(max_size=30))
def test_texts_of_strangers_are_read_or_not_and_never_fail(text):
    for read in (duration, moment):
        read(text)
