"""Expressions over verdicts: truth tables, distinct signers, and that "could not ask" is never taken for "not signed"."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.verdicts import accepted, attestor, refused, unknown
from sealgate.policy import counting
from sealgate.policy.model import Count, Static

A, B, C = attestor("a"), attestor("b"), attestor("c")
STATES = {"accepted": accepted, "refused": lambda *_: refused(), "unknown": lambda *_: unknown()}


def verdicts(**states):
    return {name: STATES[state](name) for name, state in states.items()}


def outcome(expression, found):
    return counting.decide(expression, found, {}).outcome


@pytest.mark.parametrize("states", list(itertools.product(STATES, repeat=3)))
@pytest.mark.parametrize("needed", [1, 2, 3])
def test_P21_the_truth_table_of_counts(states, needed):
    found = verdicts(**dict(zip("abc", states, strict=True)))
    good, maybe = states.count("accepted"), states.count("unknown")
    expected = "accepted" if good >= needed else "unknown" if good + maybe >= needed else "refused"
    assert outcome(Count(needed, (A, B, C)), found) == expected


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (("accepted", "refused"), "accepted", "accepted"), (("refused", "accepted"), "accepted", "accepted"),
        (("refused", "refused"), "accepted", "refused"), (("accepted", "accepted"), "refused", "refused"),
        (("unknown", "refused"), "accepted", "unknown"), (("unknown", "accepted"), "accepted", "accepted"),
        (("unknown", "unknown"), "refused", "refused"), (("accepted", "unknown"), "unknown", "unknown"),
    ],
)  # fmt: skip
def test_P21_any_inside_of_all(inner, outer, expected):
    expression = Count(2, (Count(1, (A, B)), C))
    assert outcome(expression, verdicts(a=inner[0], b=inner[1], c=outer)) == expected


def test_one_signer_counts_once_whoever_names_it():
    both = Count(2, (A, B))
    assert outcome(both, {"a": accepted("one"), "b": accepted("one")}) == "refused"
    assert outcome(both, {"a": accepted("one"), "b": accepted("two")}) == "accepted"
    assert outcome(both, {"a": accepted("one", "two"), "b": accepted("one")}) == "accepted"
    assert counting.decide(both, {"a": accepted("one"), "b": accepted("one")}, {}).code == "too-few-signers"


def test_the_same_attestor_twice_is_one_signer():
    assert outcome(Count(2, (A, A)), {"a": accepted("a")}) == "refused"
    assert outcome(Count(1, (A, A)), {"a": accepted("a")}) == "accepted"


@pytest.mark.parametrize("count", [Count(1, ()), Count(0, (A,)), Count(-1, (A,)), Count(0, ())])
def test_P01_nothing_required_is_met_by_nothing(count):
    found = counting.decide(count, {"a": accepted("a")}, {})
    assert (found.outcome, found.code) == ("refused", "nothing-required")


def test_static_answers():
    assert outcome(Static(passes=True, message="", where=""), {}) == "accepted"
    found = counting.decide(Static(passes=False, message="not here", where=""), {}, {})
    assert (found.outcome, found.code, found.message) == ("refused", "static-refusal", "not here")


class Program:
    where = "policy"

    def __init__(self, *attestors, met=True, why="because"):
        self.attestors, self.met, self.why = attestors, met, why

    def decide(self, verdicts, subject):
        return self.met, self.why


@pytest.mark.parametrize(
    ("program", "states", "expected", "code"),
    [
        (Program(A), {"a": "accepted"}, "accepted", "accepted"),
        (Program(A), {"a": "refused"}, "refused", "no-signature"),
        (Program(A), {"a": "unknown"}, "unknown", "registry-unreachable"),
        (Program(A, met=False), {"a": "accepted"}, "refused", "policy-not-met"),
        (Program(A, B, met=False), {"a": "accepted", "b": "unknown"}, "unknown", "registry-unreachable"),
        (Program(), {}, "refused", "nothing-verified"),
    ],
)
def test_P02_an_expression_that_says_yes_needs_a_verdict_that_does(program, states, expected, code):
    found = counting.decide(program, verdicts(**states), {})
    assert (found.outcome, found.code) == (expected, code)


expressions = st.recursive(
    st.sampled_from([A, B, C]),
    lambda inner: st.builds(
        lambda parts, needed: Count(min(needed, len(parts)), tuple(parts)),
        st.lists(inner, min_size=1, max_size=4), st.integers(1, 4),
    ),
    max_leaves=8,
)  # fmt: skip
states = st.fixed_dictionaries({name: st.sampled_from(sorted(STATES)) for name in "abc"})


@given(expressions, states)
def test_what_could_not_be_asked_never_changes_the_answer_to_more_than_it_could_be(expression, found):
    """`unknown` stands for either answer: sure answers are those that both agree on."""
    hidden = [name for name, state in found.items() if state == "unknown"]
    worlds = {
        outcome(expression, verdicts(**(found | dict(zip(hidden, each, strict=True)))))
        for each in itertools.product(("accepted", "refused"), repeat=len(hidden))
    }
    given_now = outcome(expression, verdicts(**found))
    if given_now == "accepted":
        assert worlds == {"accepted"}
    if given_now == "refused":
        assert worlds == {"refused"}


@given(expressions, states, st.sampled_from("abc"))
def test_one_more_signature_never_turns_an_admission_into_a_refusal(expression, found, name):
    before = outcome(expression, verdicts(**found))
    after = outcome(expression, verdicts(**(found | {name: "accepted"})))
    assert before != "accepted" or after == "accepted"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("*", "check", True), ("check-*", "check-image", True), ("check", "check-image", False), ("c?eck", "check", True),
     ("[a-z]heck", "check", False), ("[a-z]heck", "[a-z]heck", True), ("CHECK", "check", False)],
)  # fmt: skip
def test_P20_names_have_stars_and_question_marks_and_no_classes(pattern, name, expected):
    assert counting.named(pattern, name) is expected
