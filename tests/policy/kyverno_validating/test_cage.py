"""Programs that never end, eat everything, or are given what they cannot read; the child that all share."""

import os
import signal

import pytest

from policy.kyverno_validating.scene import SIGNED, TEAM, codes, ivp
from policy.scene import load
from sealgate import limits
from sealgate.conditions import programs
from sealgate.conditions.programs import ProgramError, Programs, program

NUMBERS = "[" + ",".join(map(str, range(200))) + "]"
BOMBS = {
    "loops": f"{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, a + b + c >= 0)))",
    "text": f"cel.bind(a, '{'x' * 100}', "
    + "".join(f"cel.bind({chr(98 + n)}, {' + '.join([chr(97 + n)] * 20)}, " for n in range(6))
    + "g.size() > 0" + ")" * 7,
    "no answer": "1 / 0 == 1",
    "no truth": "dyn('yes')",
    "no overload": "dyn('a') + dyn(1) == 1",
    "no member": "object.a.b.c == 1",
    "wrong image": "verifyImageSignatures(1, [attestors.k]) > 0",
    "wrong attestors": "verifyImageSignatures('x', 1) > 0",
    "what the engine cannot hand over": "getImageData(optional.of('x')).a == 1",
    "no such attestor": "images.containers.all(i, verifyImageSignatures(i, ['z']) > 0)",
    "no such attestation": "images.containers.all(i, verifyAttestationSignatures(i, 'z', [attestors.k]) > 0)",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_D12_what_has_no_answer_is_no_yes(registry, good, name):
    policies = load(ivp(BOMBS[name], SIGNED, keys={"k": good}))
    assert codes(policies, registry, f"{TEAM}/signed:1.0") == ["condition-error"]
    assert codes(load(ivp(SIGNED, keys={"k": good})), registry, f"{TEAM}/signed:1.0") == ["accepted"]


def entry(expression, **more):
    return {"name": "0", "expression": expression, "where": "spec", **more}


QUESTION = {"kind": "validate", "images": {}, "matched": [], "table": {}}


@pytest.fixture
def engine():
    with Programs() as made:
        yield made


def test_one_child_compiles_each_program_once(engine):
    kept = program({"validations": [entry("true")]})
    assert engine.ask(kept, QUESTION)["failed"] is None
    child = engine._child.pid
    unknown = programs.Program(kept.key, '{"validations": [{"name": "0", "expression": "false", "where": ""}]}')
    assert engine.ask(unknown, QUESTION)["failed"] is None  # the text is not sent again
    assert engine._child.pid == child


def test_a_child_that_ended_is_replaced(engine):
    kept = program({"validations": [entry("true")]})
    engine.ask(kept, QUESTION)
    child = engine._child.pid
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert engine.ask(kept, QUESTION)["failed"] is None
    assert engine._child.pid != child


def test_a_child_outlives_the_thread_that_started_it_or_is_replaced(engine):
    import threading

    kept = program({"validations": [entry("true")]})
    for _ in range(5):
        thread = threading.Thread(target=engine.ask, args=(kept, QUESTION))
        thread.start()
        thread.join()
        assert engine.ask(kept, QUESTION)["failed"] is None


def test_a_program_that_never_ends_is_given_a_rest_and_others_go_on():
    now = [0.0]
    bomb, kept = program({"validations": [entry(BOMBS["text"])]}), program({"validations": [entry("true")]})
    with Programs(monotonic=lambda: now[0]) as engine:
        for _ in range(limits.PROGRAM_FAILURES):
            with pytest.raises(ProgramError, match=r"memory|ended|processor"):
                engine.ask(bomb, QUESTION)
        with pytest.raises(ProgramError, match="not evaluated"):
            engine.ask(bomb, QUESTION)
        assert engine.ask(kept, QUESTION)["failed"] is None
        now[0] += limits.PROGRAM_PAUSE_SECONDS + 1
        with pytest.raises(ProgramError, match=r"memory|ended|processor"):
            engine.ask(bomb, QUESTION)


def test_the_deadline_of_a_question():
    with Programs(seconds=0.0) as engine, pytest.raises(ProgramError, match="came to no end within 0 seconds"):
        engine.ask(program({"validations": [entry("true")]}), QUESTION)


def test_a_question_that_is_no_json(engine):
    with pytest.raises(ProgramError, match="no JSON"):
        engine.ask(program({"validations": [entry("true")]}), QUESTION | {"names": {"object": {1, 2}}})


@pytest.mark.parametrize(
    "expression",
    [
        'image("ghcr.io/a/b:1").registry() == "ghcr.io"', 'image("ghcr.io/a/b:1").repository() == "a/b"',
        'parseImageReference("ghcr.io/a/b:1").tag() == "1"', '!image("ghcr.io/a/b:1").containsDigest()',
        'image("ghcr.io/a/b").identifier() == "latest"', 'isImage("ghcr.io/a/b") && !isImage("a b")',
        'json.unmarshal("{\\"a\\": 1}").a == 1', 'yaml.parse("a: [1]").a[0] == 1', 'sha256("a").startsWith("ca97")',
        'md5("a").size() == 32', '"abc".find("b+") == "b"', '"abab".findAll("a").size() == 2', "math.round(1.26, 1) == 1.3",
        'time_now() == "1970-01-01T00:00:00Z"', 'time_add("2020-01-01T00:00:00Z", "1h30m") == "2020-01-01T01:30:00Z"',
        'time_diff("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z") == "24h0m0s"',
        'time_before("2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z")', "math.greatest(1, 2) == 2",
    ],
)  # fmt: skip
def test_the_libraries(engine, expression):
    assert engine.ask(program({"validations": [entry(expression)]}), QUESTION)["failed"] is None
    negated = program({"validations": [entry(f"!({expression})")]})
    assert engine.ask(negated, QUESTION)["failed"][0] == "failed"


@pytest.mark.parametrize(
    "expression",
    [
        'json.unmarshal("{\\"a\\": 1, \\"a\\": 2}").a == 2',
        'yaml.unmarshal("{}") == {}',
        'x509.decode("x").Version == 3',
        'time_add("now", "1h") == ""',
        '"a".find("(") == ""',
        'image("a b").tag() == ""',
    ],
)
def test_libraries_that_have_no_answer(engine, expression):
    assert engine.ask(program({"validations": [entry(expression)]}), QUESTION)["failed"][0] == "error"
