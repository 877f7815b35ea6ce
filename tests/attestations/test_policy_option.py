"""`--policy`: the command, and stock cosign (with the real OPA in it) on the same image as the judge of Rego."""

import json

import pytest

from attestations.conftest import statements
from peers.images import push_image

P = "package signature\n"
CYCLONEDX = "https://cyclonedx.org/bom"


@pytest.fixture(scope="module")
def image(docker_registry, attesting, tmp_path_factory):
    image = push_image(docker_registry, "policy/app")
    predicate = tmp_path_factory.mktemp("policy") / "p.json"
    predicate.write_text(json.dumps({"level": 3, "name": "app", "vulns": [{"id": "CVE-1", "severity": "LOW"}]}))
    attesting.attest("cosign3", "https://example.com/scan", predicate, "bundle", image.reference)
    return image


@pytest.fixture
def judge(attesting, image, tmp_path):
    """`judge(tool, "x.rego", source)`"""

    def run(tool, name, source, *words):
        path = tmp_path / name
        path.write_text(source)
        return attesting.verify(
            tool, "https://example.com/scan", "bundle", image.reference, "--policy", path, *words
        )  # fmt: skip

    return run


SAME = {
    "v0-true": ("default allow = false\nallow { input.predicate.level == 3 }", True),
    "v0-false": ("default allow = false\nallow { input.predicate.level == 4 }", False),
    "v0-undefined": ("allow { input.predicate.level == 4 }", False),
    "missing-field": ("default allow = false\nallow { input.predicate.missing == 3 }", False),
    "missing-field-unequal": ("allow { input.predicate.missing != 3 }", False),
    "missing-list": ("allow { count(input.predicate.missing) == 0 }", False),
    "v1-import": ("import rego.v1\ndefault allow := false\nallow if input.predicate.level == 3", True),
    "v1-import-false": ("import rego.v1\ndefault allow := false\nallow if input.predicate.level == 4", False),
    "future": ("import future.keywords.in\nallow { some v in input.predicate.vulns; v.severity == `LOW` }", True),
    "deny": ('deny[m] { input.predicate.vulns[_].severity == "HIGH"; m := "x" }\nallow { count(deny) == 0 }', True),
    "deny-fires": (
        'deny[m] { input.predicate.vulns[_].severity == "LOW"; m := "x" }\nallow { count(deny) == 0 }',
        False,
    ),
    "deny-is-a-set": ('deny[m] { m := input.predicate.name }\nallow { deny["app"] }', True),
    "not-a-boolean": ('allow = "true"', False),
    "a-number": ("allow = 1", False),
    "conflict": ("allow = true { input.predicate.level == 3 }\nallow = false { input.predicate.level == 3 }", False),
    "syntax": ("allow {", False),
    "type": ('allow { input.predicateType == "https://example.com/scan" }', True),
    "regex": ("allow { regex.match(`^a[a-z]+$`, input.predicate.name) }", True),
    "builtin-error": ("allow { to_number(input.predicate.name) == 3 }", False),
    "function": ("bad(v) { v.severity == `CRITICAL` }\nallow { not bad(input.predicate.vulns[0]) }", True),
    "sprintf": ('allow { sprintf("%s-%d", [input.predicate.name, input.predicate.level]) == "app-3" }', True),
    "comprehension": ("allow { count([v | v := input.predicate.vulns[_]; v.severity == `LOW`]) == 1 }", True),
    "else": ("allow = false { input.predicate.level == 4 } else = true { input.predicate.level == 3 }", True),
    "object-get": ('allow { object.get(input.predicate, "missing", 7) == 7 }', True),
    "not-of-an-error": ("allow { not to_number(input.predicate.name) == 3 }", False),
    "unknown-function": ("allow { nosuch(1) }", False),
}


@pytest.mark.parametrize("case", SAME)
def test_rego_as_cosign_judges_it(judge, case):
    source, passes = SAME[case]
    theirs = judge("cosign3", "p.rego", P + source)
    ours = judge("sealgate", "p.rego", P + source)
    assert (theirs.returncode == 0, ours.returncode == 0) == (passes, passes), theirs.stderr + ours.stderr
    assert ours.returncode in {0, 12}
    assert bool(ours.stdout) == passes


DECLARED = {
    "v1-without-import": ("default allow := false\nallow if { input.predicate.level == 3 }", False, True),
    "environment": ("allow { opa.runtime() }", True, False),
    "clock": ("allow { time.now_ns() > 0 }", True, False),
    "network": ("allow { net.cidr_contains(`10.0.0.0/8`, `10.1.1.1`) }", True, False),
}


@pytest.mark.parametrize("case", DECLARED)
def test_rego_that_is_judged_otherwise_than_by_cosign(judge, case):
    source, cosign, here = DECLARED[case]
    found = judge("cosign3", "p.rego", P + source), judge("sealgate", "p.rego", P + source)
    assert tuple(done.returncode == 0 for done in found) == (cosign, here), found[0].stderr + found[1].stderr


@pytest.mark.parametrize(
    ("name", "good", "bad", "broken"),
    [
        ("p.cel", "predicate.level == 3", "predicate.level == 4", "predicate.missing == 3"),
        ("p.rego", P + "allow { input.predicate.level == 3 }", P + "allow { false }", P + "allow { http.send({}) }"),
        (
            "p.json",
            '{"type": "object", "required": ["predicate"]}',
            '{"type": "object", "required": ["missing"]}',
            '{"$ref": "http://127.0.0.1:1/"}',
        ),
    ],
)
def test_the_codes_of_the_verdict(judge, name, good, bad, broken):
    found = [judge("sealgate", name, source, "-o", "verdict") for source in (good, bad, broken)]
    verdicts = [json.loads(done.stdout) for done in found]
    assert [done.returncode for done in found] == [0, 12, 12]
    assert [verdict["code"] for verdict in verdicts] == ["accepted", "condition-failed", "condition-error"]
    codes = [finding["code"] for finding in verdicts[0]["signatures"][0]["findings"]]
    assert codes.count("condition-met") == 1


def test_every_policy_must_be_met(attesting, image, tmp_path):
    for name, source in (("yes.cel", "true"), ("also.rego", P + "allow = true"), ("no.cel", "false")):
        (tmp_path / name).write_text(source)

    def verify(*names):
        words = [word for name in names for word in ("--policy", tmp_path / name)]
        return attesting.verify("sealgate", "https://example.com/scan", "bundle", image.reference, *words).returncode

    assert verify("yes.cel", "also.rego") == 0
    assert verify("yes.cel", "no.cel", "also.rego") == 12


@pytest.mark.parametrize("name", ["missing.cel", "p.txt"])
def test_a_policy_that_is_none_is_wrong_usage(attesting, image, tmp_path, name):
    (tmp_path / "p.txt").write_text("true")
    done = attesting.verify(
        "sealgate", "https://example.com/scan", "bundle", image.reference, "--policy", tmp_path / name
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert name in done.stderr


def test_W04_all_attestations_of_the_key_must_meet_it_and_those_of_strangers_do_not_matter(
    docker_registry, attesting, sealgate, stranger, tmp_path
):
    image = push_image(docker_registry, "policy/several")
    for level in (1, 2, 3):
        (tmp_path / f"{level}.json").write_text(json.dumps({"level": level}))
    (tmp_path / "p.cel").write_text("predicate.level < 3")
    (tmp_path / "p.rego").write_text(P + "allow { input.predicate.level < 3 }")
    kind = "https://example.com/scan"

    def verify(tool="sealgate", policy="p.cel"):
        return attesting.verify(tool, kind, "bundle", image.reference, "--policy", tmp_path / policy)

    for level in (1, 2):
        attesting.attest("sealgate", kind, tmp_path / f"{level}.json", "bundle", image.reference)
    sealgate(
        "attest", "--key", stranger.key, "--type", kind, "--predicate", tmp_path / "3.json", image.reference, check=True
    )  # fmt: skip
    attesting.attest("sealgate", "https://example.com/other", tmp_path / "3.json", "bundle", image.reference)
    done = verify()
    assert done.returncode == 0
    assert sorted(found["predicate"]["level"] for found in statements(done.stdout)) == [1, 2]
    attesting.attest("sealgate", kind, tmp_path / "3.json", "bundle", image.reference)
    done = verify()
    assert (done.returncode, done.stdout) == (12, "")
    assert "condition-failed" in done.stderr or "does not meet" in done.stderr
    assert verify("cosign3", "p.rego").returncode != 0


def test_E06_no_attestation_of_the_type_is_no_yes(attesting, image, tmp_path):
    (tmp_path / "p.cel").write_text("true")
    for kind, code in (("https://example.com/scan", 0), ("vuln", 12)):
        done = attesting.verify("sealgate", kind, "bundle", image.reference, "--policy", tmp_path / "p.cel")
        assert (done.returncode, bool(done.stdout)) == (code, code == 0)


def test_P24_a_policy_sees_nothing_of_the_environment(judge, monkeypatch):
    monkeypatch.setenv("SEALGATE_CANARY", "secret-4711")
    for source in (
        "allow = opa.runtime().env.SEALGATE_CANARY",
        'allow = opa["runtime"]()',
        "x = opa\nallow = x.runtime()",
    ):
        done = judge("sealgate", "p.rego", P + source, "-o", "verdict")
        assert done.returncode == 12
        assert "4711" not in done.stdout + done.stderr
    assert judge("sealgate", "p.rego", P + "allow = true").returncode == 0


def test_of_files(sealgate, pair, tmp_path):
    (tmp_path / "app").write_text("app")
    (tmp_path / "p.json").write_text('{"level": 3}')
    sealgate(
        "attest-blob", "--key", pair.key, "--type", "https://example.com/scan", "--predicate", tmp_path / "p.json",
        "--bundle", tmp_path / "b", tmp_path / "app", check=True,
    )  # fmt: skip
    for name, source, code in (
        ("yes.cel", "predicate.level == 3", 0),
        ("no.cel", "predicate.level == 4", 12),
        ("no.txt", "1", 2),
    ):
        (tmp_path / name).write_text(source)
        done = sealgate(
            "verify-blob-attestation", "--key", pair.pub, "--type", "https://example.com/scan", "--bundle", tmp_path / "b",
            "--policy", tmp_path / name, tmp_path / "app",
        )  # fmt: skip
        assert done.returncode == code
        assert ("Verified OK" in done.stderr) == (code == 0)
