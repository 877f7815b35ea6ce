"""Requirements: thresholds count distinct keys, and more evidence never makes a verdict worse, less never better."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealgate.errors import UsageError
from sealgate.keys import private
from sealgate.verification import requirement as requirements
from sealgate.verification.requirement import (
    AtLeast,
    Signatory,
    SignedBy,
    all_of,
    any_of,
    at_least,
    describe,
    is_met,
    keys,
)

KEYS = [private.generate("ecdsa-p256").public_key for _ in range(5)]
SIGNERS = [Signatory(key, None) for key in KEYS]
STRANGERS = [Signatory(private.generate("ed25519").public_key, None) for _ in range(2)]


def part(index):
    return SignedBy(KEYS[index], f"key{index}")


leaves = st.integers(0, len(KEYS) - 1).map(part)


def _combine(children):
    def build(parts, data):
        unique = {p.key.spki if isinstance(p, SignedBy) else p for p in parts}
        return at_least(1 + data % len(unique), parts)

    return st.builds(build, st.lists(children, min_size=1, max_size=4), st.integers(0, 7))


expressions = st.recursive(leaves, _combine, max_leaves=8)
signers = st.lists(st.sampled_from(SIGNERS + STRANGERS), max_size=8)


@given(expressions, signers, st.data())
def test_removing_signatures_never_accepts(requirement, signed, data):
    kept = [key for key in signed if data.draw(st.booleans())]
    assert is_met(requirement, signed) or not is_met(requirement, kept)


@given(expressions, signers, st.lists(st.sampled_from(SIGNERS + STRANGERS), max_size=8))
def test_adding_signatures_never_refuses(requirement, signed, more):
    assert not is_met(requirement, signed) or is_met(requirement, [*more, *signed])


@given(expressions, signers, st.lists(st.sampled_from(STRANGERS), max_size=8))
def test_strangers_change_nothing(requirement, signed, strangers):
    assert is_met(requirement, [*strangers, *signed]) is is_met(requirement, signed)


@given(expressions, signers, st.permutations(range(8)))
def test_order_and_repetition_change_nothing(requirement, signed, order):
    shuffled = [signed[index] for index in order if index < len(signed)]
    assert is_met(requirement, shuffled * 2) is is_met(requirement, signed)


@given(expressions)
def test_no_signature_never_suffices_and_all_always_do(requirement):
    assert not is_met(requirement, [])
    assert not is_met(requirement, STRANGERS)
    assert is_met(requirement, [Signatory(signed_by.key, None) for signed_by in keys(requirement)])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), signers)
def test_thresholds_count_distinct_keys(indexes, signed):
    distinct = sorted(set(indexes))
    present = {each.key.spki for each in signed} & {KEYS[index].spki for index in distinct}
    for count in range(1, len(distinct) + 1):
        assert is_met(at_least(count, [part(index) for index in indexes]), signed) is (len(present) >= count)


@pytest.mark.parametrize("count", [-1, 0, 3, 10**9])
def test_P01_thresholds_that_cannot_be_meant(count):
    with pytest.raises(UsageError) as caught:
        at_least(count, [part(0), part(1)])
    assert caught.value.code == "usage"
    assert is_met(at_least(2, [part(0), part(1)]), SIGNERS[:2])


@pytest.mark.parametrize("make", [any_of, all_of, lambda parts: at_least(0, parts), lambda parts: at_least(1, parts)])
def test_P01_nothing_required_cannot_be_made(make):
    with pytest.raises(UsageError):
        make([])


@pytest.mark.parametrize("hollow", [AtLeast(1, ()), AtLeast(0, ()), AtLeast(0, (part(0),)), AtLeast(-1, (part(0),))])
def test_P01_a_hollow_requirement_made_by_hand_is_never_met(hollow):
    assert not is_met(hollow, SIGNERS)
    assert not is_met(AtLeast(1, (hollow,)), SIGNERS)


def test_one_key_given_twice_is_one_part():
    twice = [SignedBy(KEYS[0], "a"), SignedBy(KEYS[0], "b")]
    assert is_met(all_of(twice), SIGNERS[:1])
    with pytest.raises(UsageError):
        at_least(2, twice)


def test_a_key_in_two_branches_counts_in_each_but_is_listed_once():
    inner = all_of([part(0), part(1)])
    outer = all_of([inner, part(0), part(2)])
    assert [signed_by.name for signed_by in keys(outer)] == ["key0", "key1", "key2"]
    assert is_met(outer, SIGNERS[:3])
    assert not is_met(outer, SIGNERS[:2])


@settings(max_examples=50)
@given(expressions)
def test_descriptions_name_every_key(requirement):
    text = describe(requirement)
    assert text.startswith(("a signature by ", "signatures by "))
    for signed_by in requirements.keys(requirement):
        assert signed_by.name in text
