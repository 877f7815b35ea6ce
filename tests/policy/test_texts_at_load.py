"""Texts of conditions that cannot be compiled: an error when policies are loaded, with its place; all in one child, bounded."""

from __future__ import annotations

import time

import pytest

from policy.scene import load, pem, refused
from sealgate import limits
from sealgate.conditions import compiling
from sealgate.conditions.child import Lost
from sealgate.conditions.compiling import Compiled, Compiler, Text
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError

REGO = "package signature\nallow { input.predicate.score > 5 }"
COMPLIANT = "package sigstore\nisCompliant { input.predicate.score > 5 }"
SCHEMA = '{"type": "object", "required": ["predicate"], "properties": {}}'
CUE = 'predicate: name: "app"'


def own(key, *conditions, name="own"):
    attestation = {"type": "https://example.com/score", "by": {"key": pem(key)}, "conditions": list(conditions)}
    return {
        "apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": name},
        "spec": {"images": ["registry.example.com/**"], "require": {"all": [{"attestation": attestation}]}},
    }  # fmt: skip


def over_all(key, source):
    """policy-controller's text over what all authorities came to."""
    spec = {
        "images": [{"glob": "registry.example.com/**"}],
        "authorities": [{"key": {"data": pem(key)}}],
        "policy": {"type": "rego", "data": source},
    }
    return {
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "cip"}, "spec": spec,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What is known of texts is each test's own."""
    monkeypatch.setattr(compiling, "_shared", Compiled())


@pytest.fixture
def started(monkeypatch):
    """The children that were started."""
    found = []
    start = Compiler._start

    def counted(self):
        found.append(self)
        return start(self)

    monkeypatch.setattr(Compiler, "_start", counted)
    return found


def program(folder, text):
    """A `cue` that is none."""
    file = folder / "cue"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("field", "good_text", "bad_text", "code", "said"),
    [
        ("cel", "predicate.score > 5", "predicate.", "policy-invalid", "is not CEL: INVALID_ARGUMENT: ERROR: <input>:1:11: Syntax error"),
        ("cel", "size(predicate.l) > 5", "sizes(predicate.l) > 5", "policy-invalid", "undeclared reference to 'sizes'"),
        ("cel", "true", "1 + 1", "policy-invalid", "gives INT, not true or false"),
        ("cel", "true", 'http.Get("https://x.example") == 1', "policy-unsupported", "http asks somebody"),
        ("rego", REGO, "package signature\n\nallow { x", "policy-invalid", "is not Rego: this is unclosed (line 3)"),
        ("rego", REGO, REGO.replace("signature", "other"), "policy-invalid", "its package is not `signature`"),
        ("rego", REGO, 'package signature\nallow { http.send({"url": "x"}) }', "policy-unsupported", "uses http.send, which is not available"),
        ("rego", REGO, "package signature\nallow { opa.runtime() }", "policy-unsupported", "uses opa.runtime"),
        ("rego", REGO, "package signature\nallow { nothing(1) }", "policy-unsupported", "calls nothing"),
        ("regoCompliant", COMPLIANT, REGO, "policy-invalid", "its package is not `sigstore`"),
        ("schema", SCHEMA, "{", "policy-invalid", "is not JSON"),
        ("schema", SCHEMA, SCHEMA.replace("required", "requires"), "policy-invalid", "no draft of JSON Schema knows"),
        ("schema", SCHEMA, '{"$ref": "https://x.example/s.json"}', "policy-invalid", "a reference leads into the schema itself"),
    ],
)  # fmt: skip
def test_a_broken_text_is_no_policy(good, field, good_text, bad_text, code, said):
    load(own(good, {field: good_text}))
    kind = PolicyUnsupportedError if code == "policy-unsupported" else PolicyInvalidError
    error = refused(own(good, {"cel": "true"}, {field: bad_text}), kind=kind)
    assert error.code == code
    place = f"0.yaml: ClusterImagePolicy/own: spec.require.all[0].attestation.conditions[1].{field}: "
    assert error.message.startswith(place)
    assert said in error.message


def test_a_broken_text_over_all_authorities_is_no_policy(good):
    load(over_all(good, COMPLIANT))
    error = refused(over_all(good, COMPLIANT + "}"))
    assert error.code == "policy-invalid"
    assert error.message.startswith("0.yaml: ClusterImagePolicy/cip: spec.policy: is not Rego: ")


def test_what_a_compiler_says_is_one_line_that_is_bounded_and_plain(good):
    message = refused(own(good, {"cel": "'a' +\n\x1b[31m" + "\u202e" + "x" * 5000})).message
    assert message.isprintable()
    assert len(message) < 2 * limits.TEXT_CHARS
    assert compiling.plain("a\x1b[1m\n  b\u202e") == "a\\x1b[1m b\\u202e"
    assert len(compiling.plain("\x1b" * 10_000)) == limits.TEXT_CHARS


def test_all_texts_of_a_load_are_compiled_once_and_in_one_child(good, started):
    policies = [own(good, {"cel": f"predicate.score > {n % 250}"}, {"rego": REGO}, name=f"p{n}") for n in range(500)]
    assert len(load(*policies).rules) == 500
    assert len(started) == 1
    load(*policies)
    assert len(started) == 1  # what is known stays known
    error = refused(*policies[:499], own(good, {"cel": "predicate."}, name="p499"))
    assert error.message.startswith("499.yaml: ClusterImagePolicy/p499: ")
    assert len(started) == 2
    assert len(load(*policies[:1]).rules) == 1


def test_policies_without_texts_start_nothing(good, started):
    load(own(good))
    assert not started


def test_where_there_is_no_child_policies_are_loaded_as_before(good, monkeypatch):
    def lost(self):
        raise Lost("the process for it could not be started: no room")

    with monkeypatch.context() as patched:
        patched.setattr(Compiler, "_start", lost)
        policies = load(own(good, {"cel": "predicate."}, {"rego": REGO}))
    assert [note.code for note in policies.notes if note.code.startswith("text")] == ["text-unchecked"] * 2
    assert "no room" in policies.notes[-1].message
    refused(own(good, {"cel": "predicate."}))  # nothing was taken for known
    assert not any(note.code == "text-unchecked" for note in load(own(good, {"rego": REGO})).notes)


def test_cue_is_compiled_where_there_is_a_cue(good, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    policies = load(own(good, {"cue": CUE}))
    [note] = [note for note in policies.notes if note.code == "text-unchecked"]
    assert "CUE needs the program cue" in note.message
    assert note.where.endswith("conditions[0].cue")
    program(
        tmp_path, 'read -r text <"$4"; case "$2 $text" in "-c=false p"*) ;; *) echo "bad\n  field" >&2; exit 1;; esac'
    )
    assert "text-unchecked" not in [note.code for note in load(own(good, {"cue": CUE})).notes]
    error = refused(own(good, {"cue": "broken"}))
    assert error.message.endswith("conditions[0].cue: is not CUE: bad field")


def test_cue_by_the_real_one():
    import os
    import shutil

    if shutil.which("cue") is None:
        pytest.skip("cue is not on the PATH")
    good = [Text("cue", CUE), Text("cue", "predicate: score: >5"), Text("cue", "a: string\nb: a")]
    broken = [Text("cue", "predicate: {"), Text("cue", "a: b"), Text("cue", "a: string & 3")]
    found = Compiled().compile_all([*good, *broken], path=os.environ["PATH"])
    assert found.keys() == set(broken)
    assert {flaw.fault for flaw in found.values()} == {"invalid"}
    assert all("policy.cue:" in flaw.message for flaw in found.values())


def test_a_text_that_comes_to_no_end_is_at_fault_and_the_others_are_looked_at(tmp_path):
    path = program(tmp_path, 'read -r text <"$4"; case "$text" in slow*) exec /bin/sleep 600;; esac; exit 0')
    texts = [Text("cue", "slow"), Text("cue", CUE), Text("cel", "true"), Text("cel", "(")]
    found = Compiled().compile_all(texts, path=path, each=2.0)
    assert found[texts[0]].fault == "invalid"
    assert "came to no end within 2 seconds" in found[texts[0]].message
    assert found.keys() == {texts[0], texts[3]}


def test_a_load_ends_however_many_texts_come_to_no_end(tmp_path):
    path = program(tmp_path, "exec /bin/sleep 600")
    texts = [Text("cue", str(n)) for n in range(20)]
    found = Compiled().compile_all(texts, path=path, each=0.5)
    assert [found[text].fault for text in texts] == ["invalid"] * limits.CONDITION_FAILURES + ["unchecked"] * 16
    # One that was slow is tried again after a while: it may have been the machine.
    now = [time.monotonic()]
    known = Compiled(monotonic=lambda: now[0])
    known._keep(texts[0], compiling._Known(compiling.Flaw("invalid", "slow"), now[0] + 60))
    quick = program(tmp_path, "exit 0")
    assert texts[0] in known.compile_all(texts[:1], path=quick)
    now[0] += 61
    assert not known.compile_all(texts[:1], path=quick)


def test_a_load_has_so_much_time_and_so_many_programs(tmp_path):
    path = program(tmp_path, "exit 0")
    many = [Text("cue", str(n)) for n in range(limits.CONDITION_LOAD_PROGRAMS + 3)]
    known = Compiled()
    left = known.compile_all(many, path=path)
    assert len(left) == 3
    assert {flaw.fault for flaw in left.values()} == {"unchecked"}
    assert not known.compile_all(many, path=path)  # the next load has these
    late = Compiled().compile_all([Text("cel", "("), Text("cel", "true")], path="", seconds=0.0)
    assert [flaw.message for flaw in late.values()] == ["the texts before it took too long"] * 2
