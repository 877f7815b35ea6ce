"""The child process: what a policy cannot do there, and that nothing of it outlives its time."""

import json
import os
import subprocess
import sys
import time

import pytest

from sealgate.conditions import child, evaluation
from sealgate.conditions.evaluation import Conditions
from sealgate.conditions.policy import parse
from sealgate.errors import LimitError, UsageError

P = "package signature\n"
ENDLESS = P + f'allow {{ regex.match("^(a+)+$", "{"a" * 60}b") }}'
HUNGRY = P + "allow { count([1 | numbers.range(1, 9000)[_]; numbers.range(1, 9000)[_]]) > 1 }"


def opened(*policies, **bounds):
    return Conditions(
        [parse(name, source.encode()) for name, source in policies],
        now=time.time, monotonic=time.monotonic, path="", **bounds,
    )  # fmt: skip


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_child_answers_for_every_statement_and_ends_with_the_block():
    with opened(
        ("a.rego", P + "allow { input.n < 2 }"),
        ("b.cel", "input.n < 3"),
        ("c.json", '{"type": "object", "required": ["n"]}'),
    ) as conditions:
        said = [[r.outcome for r in conditions.judge(json.dumps({"n": n}).encode())] for n in range(4)]
        pid = conditions._child.pid
        assert is_running(pid)
    assert said == [["passed"] * 3, ["passed"] * 3, ["failed", "passed", "passed"], ["failed", "failed", "passed"]]
    assert not is_running(pid)


def test_one_broken_policy_does_not_hide_the_others():
    with opened(("a.rego", P + "allow {"), ("b.cel", "true"), ("c.cel", "(")) as conditions:
        assert [r.outcome for r in conditions.judge(b"{}")] == ["error", "passed", "error"]


@pytest.mark.parametrize(
    ("policy", "bounds", "message"),
    [
        (("p.rego", ENDLESS), {"seconds": 1.0}, "no end within 1 seconds"),
        (("p.rego", HUNGRY), {"memory": 150 << 20}, "memory"),
        (("p.cel", "'a'.replace('a', '%s').replace('a', '%s').replace('a', '%s') == ''" % (("a" * 3000,) * 3)), {"memory": 150 << 20}, "memory"),
    ],
)  # fmt: skip
def test_D12_endless_and_hungry_policies_end_and_others_go_on(policy, bounds, message):
    with opened(policy, **bounds) as conditions:
        (result,) = conditions.judge(b"{}")
        assert (result.outcome, message in result.message) == ("error", True)
        assert conditions.judge(b"{}")[0].outcome == "error"
    with opened(("p.cel", "true"), **bounds) as conditions:
        assert conditions.judge(b"{}")[0].outcome == "passed"


def test_after_several_lost_evaluations_no_other_one_is_tried(monkeypatch):
    with opened(("p.rego", ENDLESS), seconds=0.3) as conditions:
        said = [conditions.judge(b"{}")[0] for _ in range(evaluation.limits.CONDITION_FAILURES + 1)]
    assert {result.outcome for result in said} == {"error"}
    assert "not evaluated" in said[-1].message


def test_P24_the_environment_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("SEALGATE_CANARY", "secret-4711")
    with opened(("p.cel", "true")) as conditions:
        assert conditions.judge(b"{}")[0].outcome == "passed"
        with open(f"/proc/{conditions._child.pid}/environ", "rb") as file:
            environment = file.read()
    assert b"4711" not in environment
    assert environment.split(b"\0")[0] == b"LC_ALL=C.UTF-8"


def test_P24_the_walls_hold():
    """The same walls in a process that tries what an engine cannot even ask for."""
    code = """
import os, sys, socket, subprocess
from sealgate.conditions import walls
open(os.devnull).close()
assert walls.close_off(programs=False)
walls.limit(cpu=5, memory=None, files=16)
tried = []
for attempt in (
    lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    lambda: [os.open(os.devnull, os.O_RDONLY) for _ in range(20)],
):
    try:
        attempt()
        tried.append("done")
    except OSError as error:
        tried.append(type(error).__name__)
print(tried)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    assert done.stdout.strip() == "['PermissionError', 'PermissionError', 'PermissionError', 'OSError']", done.stderr


def test_files_cannot_be_written(tmp_path):
    code = f"""
import signal
from sealgate.conditions import walls
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
walls.limit(cpu=5, memory=None, files=16)
open({str(tmp_path / "f")!r}, "w", buffering=1).write("x\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert (tmp_path / "f").read_text() == ""


CHILDREN = {
    "crash": "os.abort()",
    "exit": "os._exit(0)",
    "noise": "os.write(1, b'hello, world, this is noise'); time.sleep(9)",
    "not-json": "frame(b'nonsense')",
    "true": "frame(b'true')",
    "empty": "frame(b'[]')",
    "other-outcome": 'frame(b\'[["yes", ""]]\')',
    "two-for-one": 'frame(b\'[["passed", ""], ["passed", ""]]\')',
    "no-message": "frame(b'[[\"passed\", 1]]')",
    "duplicate": 'frame(b\'[{"a": 1, "a": 2}]\')',
    "twice": 'frame(b\'[["passed", ""]]\' + struct.pack(">I", 2) + b"[]", size=16)',
    "endless": "os.write(1, struct.pack('>I', 2**31))\nwhile True: os.write(1, b'x' * 65536)",
    "silent": "time.sleep(9)",
    "closed": "os.close(1); time.sleep(9)",
    "unread": "os.close(0); os.close(1)",
    "good": 'frame(b\'[["passed", ""]]\')',
}


@pytest.mark.parametrize("kind", CHILDREN)
def test_only_a_well_formed_answer_counts(monkeypatch, kind):
    before = "" if kind == "unread" else "os.read(0, 1 << 20)\n"
    code = f"""
import os, struct, time
def frame(body, size=None): os.write(1, struct.pack(">I", len(body) if size is None else size) + body)
{before}{CHILDREN[kind]}
"""
    real = subprocess.Popen

    def start(arguments, **options):
        return real([sys.executable, "-I", "-c", code], **options)

    monkeypatch.setattr(child.subprocess, "Popen", start)
    with opened(("p.cel", "true"), seconds=1.5) as conditions:
        (result,) = conditions.judge(b"{}")
    assert (result.outcome, result.policy) == ("passed" if kind == "good" else "error", "p.cel")


def test_an_interrupted_question_leaves_no_answer_behind(monkeypatch):
    with opened(("p.cel", "input.n == 1")) as conditions:
        assert conditions.judge(b'{"n": 1}')[0].outcome == "passed"

        def interrupted(child):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(conditions, "_watch", interrupted)
            with pytest.raises(KeyboardInterrupt):
                conditions.judge(b'{"n": 1}')
        assert conditions.judge(b'{"n": 2}')[0].outcome == "failed"


@pytest.mark.parametrize("raw", [b"{", b'{"a": 1, "a": 2}', b'{"a": 1, "A": 2}', b"[" * 99 + b"]" * 99])
def test_a_document_that_means_two_things_is_an_error(raw):
    with opened(("p.cel", "true")) as conditions:
        assert conditions.judge(b"{}")[0].outcome == "passed"
        assert conditions.judge(raw)[0].outcome == "error"


def test_policies_that_print_do_not_disturb_the_answer():
    source = P + 'allow { print("[[\\"passed\\", \\"\\"]]"); input.n == 1 }'
    with opened(("p.rego", source)) as conditions:
        assert [conditions.judge(json.dumps({"n": n}).encode())[0].outcome for n in (1, 2)] == ["passed", "failed"]


@pytest.mark.parametrize(
    ("name", "raw", "error"),
    [
        ("p.txt", b"true", UsageError),
        ("p.REGO", b"true", UsageError),
        ("rego", b"true", UsageError),
        ("p.yaml", b"true", UsageError),
        ("p.cel", b"", UsageError),
        ("p.cel", b" \n", UsageError),
        ("p.cel", b"\xff", UsageError),
        ("p.cel", b"true\0", UsageError),
        ("p.cel", b" " * (1024 * 1024 + 1), LimitError),
    ],
)
def test_what_is_no_policy(name, raw, error):
    assert parse("p.cel", b"true").language == "cel"
    with pytest.raises(error):
        parse(name, raw)


def test_cue_shows_another_way_where_there_is_no_cue(say):
    result = say("cue", 'predicate: name: "app"')
    assert result.outcome == "error"
    assert all(word in result.message for word in ("CEL", "JSON Schema"))


def test_cue_where_there_is_one(say):
    import shutil

    if shutil.which("cue") is None:
        pytest.skip("cue is not on the PATH")
    path = os.environ["PATH"]
    assert say("cue", 'predicate: name: "app"', path=path).outcome == "passed"
    assert say("cue", 'predicate: name: "other"', path=path).outcome == "failed"
    assert say("cue", "predicate: missing: string", path=path).outcome == "failed"
    assert say("cue", "predicate: {", path=path).outcome == "failed"


def test_the_child_dies_with_a_parent_that_is_killed():
    code = f"""
import os, threading, time
from sealgate.conditions.evaluation import Conditions
from sealgate.conditions.policy import parse
conditions = Conditions([parse("p.rego", {ENDLESS!r}.encode())], now=time.time, monotonic=time.monotonic, path="")
def die():
    while conditions._child is None:
        time.sleep(0.01)
    time.sleep(0.5)
    print(conditions._child.pid, flush=True)
    os.kill(os.getpid(), 9)
threading.Thread(target=die).start()
conditions.judge(b"{{}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -9
    for _ in range(100):
        try:
            with open(f"/proc/{int(done.stdout)}/stat", encoding="utf-8") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":  # dead, and whoever adopted it has not looked yet
            return
        time.sleep(0.02)
    pytest.fail("the child is still there")
