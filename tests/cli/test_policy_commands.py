"""`sealgate policy lint`, `explain` and `test`: what is found, what is told, and what comes as expected; all without a registry."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from policy.scene import Registry

NAME = "registry.example.com/shop/app"


class Layouts(Registry):
    """As the scene's registry, where `--offline` looks for it."""

    def push(self, name, tag="1.0"):
        digest = super().push(name, tag)
        place = self._folder / "layouts" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Path(self._stores[name].layout.path).rename(place)
        self._stores[name] = type(self._stores[name])(str(place), name=name)
        return digest


@pytest.fixture
def layouts(tmp_path, key, other):
    """Signed by the good key: `app`; by another: `foreign`; not at all: `plain`."""
    made = Layouts(tmp_path)
    for name, signers in {"app": [key.handle], "foreign": [other.handle], "plain": []}.items():
        made.push(f"registry.example.com/shop/{name}")
        if signers:
            made.sign(f"registry.example.com/shop/{name}", *signers)
    return tmp_path / "layouts"


def policy(key, *, images="registry.example.com/*", name="check", action="Enforce", extra=""):
    pem = Path(key.public).read_text().strip().replace("\n", "\n              ")
    return f"""
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: {name}}}
spec:
  validationFailureAction: {action}
  rules:
  - name: signed
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    {extra}
    verifyImages:
    - imageReferences: ["{images}"]
      attestors:
      - entries:
        - keys:
            publicKeys: |-
              {pem}
"""


@pytest.fixture
def check(tmp_path, key):
    file = tmp_path / "check.yaml"
    file.write_text(policy(key))
    return file


POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"


# -- lint


def test_lint_shows_notes_and_strict_makes_them_count(cli, check):
    said = cli("policy", "lint", check)
    assert said.code == 0
    assert said.out.startswith(f"note: {check}: ClusterPolicy/check: spec.rules[0].verifyImages[0]")
    assert said.out.rstrip().endswith("tlog-not-asked")
    assert "no log is believed in" in said.err
    assert cli("policy", "lint", "--strict", check).code == 16


def test_P18_lint_shows_every_error_with_its_place_and_what_to_write(cli, tmp_path, key):
    text = policy(key)
    (tmp_path / "a.yaml").write_text(text.replace("imageReferences", "imageReference"))
    (tmp_path / "b.yaml").write_text(text.replace("verifyImages", "verifyImage") + "---\n" + text)
    (tmp_path / "c.yaml").write_text("kind: [")
    (tmp_path / "d.yaml").write_text(text)
    said = cli("policy", "lint", "-o", "json", *(tmp_path / f"{name}.yaml" for name in "abcd"))
    assert said.code == 2
    errors = [each for each in json.loads(said.out)["remarks"] if each["level"] == "error"]
    assert [Path(each["file"]).name for each in errors] == ["c.yaml", "a.yaml", "b.yaml", "d.yaml"]
    assert errors[1]["where"] == "ClusterPolicy/check"
    assert "spec.rules[0].verifyImages[0]" in errors[1]["message"]
    assert "imageReferences" in errors[1]["hint"]
    assert "twice" in errors[3]["message"]


@pytest.mark.parametrize(
    ("images", "code"), [("*example.com/*", "pattern-foreign-host"), ("registry.example.com/app:1.0", "pattern-digest")]
)
def test_P20_lint_names_patterns_that_mean_something_else(cli, tmp_path, key, images, code):
    (tmp_path / "p.yaml").write_text(policy(key, images=images))
    said = cli("policy", "lint", "-o", "sarif", tmp_path / "p.yaml")
    assert said.code == 0
    [run] = json.loads(said.out)["runs"]
    assert code in {each["ruleId"] for each in run["results"]}
    assert all(each["level"] == "note" for each in run["results"])


def test_lint_names_exceptions_from_what_is_not_there(cli, tmp_path, check):
    exception = """
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: late, namespace: kyverno}
spec:
  match: {any: [{resources: {kinds: [Pod], names: [web]}}]}
  exceptions: [{policyName: NAME, ruleNames: [signed]}]
"""
    (tmp_path / "e.yaml").write_text(exception.replace("NAME", "chekc"))
    codes = [
        each["code"]
        for each in json.loads(cli("policy", "lint", "-o", "json", check, tmp_path / "e.yaml").out)["remarks"]
    ]
    assert "exception-unused" in codes
    (tmp_path / "e.yaml").write_text(exception.replace("NAME", "check"))
    codes = [
        each["code"]
        for each in json.loads(cli("policy", "lint", "-o", "json", check, tmp_path / "e.yaml").out)["remarks"]
    ]
    assert "exception-unused" not in codes
    assert "exception-endless" in codes


CONDITIONS = """
apiVersion: sealgate.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {{name: scored}}
spec:
  images: ["registry.example.com/**"]
  require:
    attestation:
      type: https://example.com/score
      by: {{key: {key}}}
      conditions:
      - cel: {cel}
      - rego: "package signature\\nallow {{ {rego} }}"
"""


def test_lint_names_every_text_that_cannot_be_compiled(cli, tmp_path, key):
    file, pem = tmp_path / "p.yaml", json.dumps(Path(key.public).read_text())
    file.write_text(CONDITIONS.format(key=pem, cel="predicate.score > 5", rego="input.predicate.score > 5"))
    assert "error" not in {
        each["level"] for each in json.loads(cli("policy", "lint", "-o", "json", file).out)["remarks"]
    }
    file.write_text(CONDITIONS.format(key=pem, cel='"predicate.\\e[31m"', rego="http.send(input)"))
    said = cli("policy", "lint", "-o", "json", file)
    assert said.code == 2
    errors = [each for each in json.loads(said.out)["remarks"] if each["level"] == "error"]
    assert [each["code"] for each in errors] == ["policy-invalid", "policy-unsupported"]
    assert {each["file"] for each in errors} == {str(file)}
    assert errors[0]["message"].startswith("spec.require.attestation.conditions[0].cel: is not CEL: ")
    assert errors[1]["message"].startswith("spec.require.attestation.conditions[1].rego: uses http.send")
    assert all(each["message"].isprintable() for each in errors)
    assert "policy-unsupported" in cli("policy", "lint", file).out


def test_lint_of_nothing_is_an_error(cli, tmp_path):
    (tmp_path / "s.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n")
    said = cli("policy", "lint", tmp_path / "s.yaml")
    assert said.code == 2
    assert "policy-invalid" in said.out


# -- explain


@pytest.mark.parametrize(
    ("image", "code", "told"),
    [
        (f"{NAME}:1.0", 0, "registry.example.com/* fits"), ("registry.example.com/shop/plain:1.0", 16, "no-signature"),
        ("registry.example.com/shop/foreign:1.0", 16, "signature-key-mismatch"), ("nginx", 0, "does not fit registry.example.com/*"),
        ("registry.example.com/shop/nothing:1.0", 14, "unavailable"),
    ],
)  # fmt: skip
def test_explain_says_what_would_happen_and_why(cli, check, layouts, image, code, told):
    said = cli("policy", "explain", check, image, "--offline", layouts)
    assert said.code == code, said.err
    assert told in said.out
    assert "check/signed (ClusterPolicy)" in said.out


def test_explain_tells_which_rules_are_not_about_it(cli, tmp_path, key, check, layouts):
    (tmp_path / "n.yaml").write_text(policy(key, name="jobs").replace("kinds: [Pod]", "kinds: [Job]"))
    said = cli("policy", "explain", check, tmp_path / "n.yaml", f"{NAME}:1.0", "--offline", layouts, "-o", "json")
    [decision] = json.loads(said.out)
    states = {each["rule"]: each["state"] for each in decision["images"][0]["considered"]}
    assert states == {"check/signed": "asked", "jobs/signed": "workload"}
    job = cli(
        "policy",
        "explain",
        check,
        tmp_path / "n.yaml",
        f"{NAME}:1.0",
        "--offline",
        layouts,
        "-o",
        "json",
        "--kind",
        "Job",
    )
    states = {each["rule"]: each["state"] for each in json.loads(job.out)[0]["images"][0]["considered"]}
    assert states == {"check/signed": "asked", "jobs/signed": "asked"}


@pytest.mark.parametrize(
    ("condition", "image", "state", "code"),
    [
        ("true", f"{NAME}:1.0", "asked", 0), ("true", "registry.example.com/shop/plain:1.0", "asked", 16),
        ("object.metadata.name == 'other'", "registry.example.com/shop/plain:1.0", "image", 0),
        ("object.nothing == 1", "registry.example.com/shop/plain:1.0", "undecided", 14),
    ],
)  # fmt: skip
def test_explain_asks_the_conditions_of_image_policies(cli, tmp_path, key, layouts, condition, image, state, code):
    verify = "images.containers.all(each, verifyImageSignatures(each, [attestors.us]) > 0)"
    rules = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "matchConstraints": {"resourceRules": [rules]}, "validations": [{"expression": verify}],
        "matchConditions": [{"name": "condition", "expression": condition}],
        "attestors": [{"name": "us", "cosign": {"key": {"data": Path(key.public).read_text()}}}],
    }  # fmt: skip
    kind = {"apiVersion": "policies.kyverno.io/v1", "kind": "ImageValidatingPolicy", "metadata": {"name": "ivp"}}
    (tmp_path / "ivp.json").write_text(json.dumps(kind | {"spec": spec}))
    said = cli("policy", "explain", tmp_path / "ivp.json", image, "--offline", layouts, "-o", "json")
    [decision] = json.loads(said.out)
    assert [each["state"] for each in decision["images"][0]["considered"]] == [state]
    assert said.code == code, said.err


def test_explain_takes_manifests_and_ends_as_the_gate_does(cli, tmp_path, check, layouts):
    for name in ("app", "plain", "foreign"):
        (tmp_path / "m.yaml").write_text(POD.format(name="web", image=f"registry.example.com/shop/{name}:1.0"))
        explained = cli("policy", "explain", check, tmp_path / "m.yaml", "--offline", layouts, "-o", "json")
        gated = cli("gate", "-p", check, tmp_path / "m.yaml", "--offline", layouts, "-o", "json")
        assert explained.code == gated.code
        told = json.loads(explained.out)
        for each in told:
            for image in each["images"]:
                assert image.pop("considered")
        assert told == json.loads(gated.out)


def test_explain_refuses_what_is_neither_a_file_nor_an_image(cli, check):
    assert cli("policy", "explain", check, "No/Such Thing").code == 2
    assert cli("policy", "explain", check, "nginx", "--kind", "Service").code == 2


# -- test


KYVERNO = """
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: images}
policies: [check.yaml]
resources: [resources.yaml]
results:
"""


def kyverno(tmp_path, *results, more=""):
    folder = tmp_path
    images = {"good": "app", "bad": "plain", "gone": "nothing"}
    pods = [POD.format(name=name, image=f"registry.example.com/shop/{image}:1.0") for name, image in images.items()]
    (folder / "resources.yaml").write_text(
        "---\n".join([*pods, POD.format(name="other", image="elsewhere.example.com/x:1")])
    )
    (folder / "kyverno-test.yaml").write_text(KYVERNO + "\n".join(f"- {each}" for each in results) + "\n" + more)
    return folder / "kyverno-test.yaml"


def test_kyvernos_tests_come_as_expected(cli, tmp_path, check, layouts):
    results = [
        f"{{policy: check, rule: signed, kind: Pod, resources: [{name}], result: {result}}}"
        for name, result in {"good": "pass", "bad": "fail", "gone": "error", "default/other": "skip"}.items()
    ]
    said = cli("policy", "test", kyverno(tmp_path, *results), "--offline", layouts)
    assert said.code == 0, said.out
    assert "4 of 4 came as expected" in said.err
    assert cli("policy", "test", tmp_path, "--offline", layouts).code == 0


REGISTRIES = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: registries}
spec:
  validationFailureAction: %s
  rules:
  - name: validate-registries
    match: {any: [{resources: {kinds: [Pod]}}]}
    validate:
      message: Unknown image registry.
      pattern: {spec: {containers: [{image: "registry.example.com/* | bar.example.com/*"}]}}
"""


@pytest.mark.parametrize("action", ["audit", "Enforce"])
@pytest.mark.parametrize(
    ("folder", "head", "names"),
    [
        (".kyverno-test", "apiVersion: cli.kyverno.io/v1alpha1\nkind: Test\nmetadata: {name: registries}\n", "resources: [good], result"),
        (".", "name: registries\n", "resource: good, status"),
    ],
    ids=["library", "older"],
)  # fmt: skip
def test_tests_of_registries_as_kyvernos_library_writes_them(cli, tmp_path, action, folder, head, names):
    (tmp_path / "registries.yaml").write_text(REGISTRIES % action)
    below = tmp_path / folder
    below.mkdir(exist_ok=True)
    pods = {"good": "bar.example.com/x", "bad": "unknown.invalid/x"}
    resources = "---\n".join(POD.format(name=name, image=image) for name, image in pods.items())
    (below / "resource.yaml").write_text(resources)
    above = "../" if folder != "." else ""
    text = head + f"policies: [{above}registries.yaml]\nresources: [resource.yaml]\nresults:\n"
    for name, result in {"good": "pass", "bad": "fail"}.items():
        fields = names.replace("good", name)
        text += f"- {{policy: registries, rule: validate-registries, kind: Pod, {fields}: {result}}}\n"
    (below / "kyverno-test.yaml").write_text(text)
    said = cli("policy", "test", tmp_path)  # without a registry: names alone decide
    assert said.code == 0, said.out + said.err
    assert "2 of 2 came as expected" in said.err
    (below / "kyverno-test.yaml").write_text(text.replace("pass", "fail"))
    assert cli("policy", "test", tmp_path).code == 1


def test_what_has_neither_a_kind_nor_the_parts_of_a_test_is_none(cli, tmp_path):
    (tmp_path / "kyverno-test.yaml").write_text("name: x\npolicies: [a.yaml]\nresources: [b.yaml]\n")
    said = cli("policy", "test", tmp_path)
    assert (said.code, "policy-invalid" in said.err) == (2, True)


def test_an_expectation_that_is_not_met_ends_in_1(cli, tmp_path, check, layouts):
    file = kyverno(
        tmp_path, "{policy: check, rule: autogen-signed, resources: [good, bad], result: pass}",
        "{policy: check, resources: [nobody], result: skip}", "{policy: chekc, resources: [good], result: skip}",
    )  # fmt: skip
    said = cli("policy", "test", file, "--offline", layouts, "-o", "json")
    assert said.code == 1
    assert [each["passed"] for each in json.loads(said.out)] == [True, False, False, False]
    assert "no-signature" in json.loads(said.out)[1]["reason"]
    suite = ET.fromstring(cli("policy", "test", file, "--offline", layouts, "-o", "junit").out)
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    assert cli("policy", "test", file, "--offline", layouts, "--fail-only").out.count("✓") == 0


def test_kyvernos_values_and_users_count(cli, tmp_path, key, layouts):
    text = policy(key).replace("kinds: [Pod]", "kinds: [Pod], namespaceSelector: {matchLabels: {env: prod}}")
    (tmp_path / "check.yaml").write_text(
        text.replace("signed\n", "signed\n    exclude: {any: [{clusterRoles: [cluster-admin]}]}\n", 1)
    )
    (tmp_path / "values.yaml").write_text(
        "apiVersion: cli.kyverno.io/v1alpha1\nkind: Value\nnamespaceSelector: [{name: default, labels: {env: prod}}]\n"
    )
    (tmp_path / "user.yaml").write_text("clusterRoles: [CLUSTER]\nuserInfo: {username: me}\n")
    more = "variables: values.yaml\nuserinfo: user.yaml\n"
    file = kyverno(tmp_path, "{policy: check, rule: signed, resources: [bad], result: fail}", more=more)
    assert cli("policy", "test", file, "--offline", layouts).code == 0
    (tmp_path / "user.yaml").write_text("clusterRoles: [cluster-admin]\nuserInfo: {username: me}\n")
    assert cli("policy", "test", file, "--offline", layouts).code == 1
    (tmp_path / "user.yaml").write_text("clusterRoles: []\nuserInfo: {username: me}\n")
    (tmp_path / "values.yaml").write_text("namespaceSelector: [{name: default, labels: {env: dev}}]\n")
    assert cli("policy", "test", file, "--offline", layouts).code == 1


@pytest.mark.parametrize(
    "more",
    [
        "targetResources: [x.yaml]\n",
        "values: {globalValues: {request.mode: dev}}\n",
        "unknown: 1\n",
        "values: {subresources: [{}]}\n",
    ],
)
def test_P18_what_a_test_has_and_is_not_evaluated_is_an_error(cli, tmp_path, check, layouts, more):
    expected = "{policy: check, rule: signed, resources: [good], result: pass}"
    assert cli("policy", "test", kyverno(tmp_path, expected, more=more), "--offline", layouts).code == 2
    assert cli("policy", "test", kyverno(tmp_path, expected), "--offline", layouts).code == 0


OWN = """
apiVersion: sealgate.dev/v1alpha1
kind: PolicyTest
metadata: {name: shop}
policies: [check.yaml]
layouts: layouts
time: 2026-01-01T00:00:00Z
cases:
- {image: "registry.example.com/shop/app:1.0", kind: Deployment, expect: admit, codes: [accepted]}
- {name: not signed, image: "registry.example.com/shop/plain:1.0", expect: deny, codes: [no-signature]}
- {image: "registry.example.com/shop/nothing:1.0", expect: deny, codes: [unavailable]}
- {image: "elsewhere.example.com/x:1", expect: admit, codes: [image-unmatched]}
"""


def test_own_tests_have_their_layouts_beside_them(cli, tmp_path, check, layouts):
    file = tmp_path / "sealgate-test.yaml"
    file.write_text(OWN)
    said = cli("policy", "test", tmp_path)
    assert said.code == 0, said.out
    assert "4 of 4" in said.err
    file.write_text(OWN.replace("[no-signature]", "[no-attestation]"))
    said = cli("policy", "test", file)
    assert said.code == 1
    assert "no-attestation is not among no-signature" in said.out
    file.write_text(OWN.replace("expect: admit", "expect: deny", 1))
    assert cli("policy", "test", file).code == 1
    file.write_text(OWN + "noMatch: deny\n")
    assert cli("policy", "test", file).code == 1


@pytest.mark.parametrize(
    "bad",
    ["", "kind: Pod\n", OWN.replace("expect: admit", "expects: admit"), OWN.replace("2026-01-01T00:00:00Z", "soon"),
     OWN.partition("cases:")[0] + "cases: []\n", OWN.replace("policies: [check.yaml]", "policies: []")],
)  # fmt: skip
def test_tests_that_cannot_be_read(cli, tmp_path, check, layouts, bad):
    (tmp_path / "sealgate-test.yaml").write_text(bad)
    assert cli("policy", "test", tmp_path / "sealgate-test.yaml").code == 2


def test_E06_a_directory_without_tests_is_no_success(cli, tmp_path):
    assert cli("policy", "test", tmp_path).code not in {0, 16}


# -- convert


def test_convert_writes_policies_that_load_and_says_what_to_know(cli, tmp_path, check, layouts):
    said = cli("policy", "convert", check)
    assert said.code == 0, said.err
    assert "note: Kyverno admits images that no policy matches" in said.err
    (tmp_path / "own.yaml").write_text(said.out)
    for name, code in (("app", 0), ("foreign", 16), ("plain", 16)):
        for policies in (check, tmp_path / "own.yaml"):
            image = f"registry.example.com/shop/{name}:1.0"
            assert cli("policy", "explain", policies, image, "--offline", layouts).code == code
    back = cli("policy", "convert", "--to", "kyverno", tmp_path / "own.yaml")
    assert back.code == 0
    assert "kind: ClusterPolicy" in back.out


def test_P18_convert_passes_no_mistake_through(cli, tmp_path, check):
    own = cli("policy", "convert", check)
    (tmp_path / "own.yaml").write_text(own.out)
    again = cli("policy", "convert", tmp_path / "own.yaml")
    assert (again.code, again.out) == (0, own.out)
    (tmp_path / "own.yaml").write_text(own.out.replace("  require:", "  skips: []\n  require:"))
    said = cli("policy", "convert", tmp_path / "own.yaml")
    assert (said.code, said.out) == (2, "")
    assert "own.yaml: ClusterImagePolicy/check-signed-0: spec: there is no field 'skips' here" in said.err


def test_convert_writes_nothing_where_meaning_would_be_lost(cli, tmp_path, key, check):
    (tmp_path / "x.yaml").write_text(policy(key, name="x", extra="exclude: {any: [{resources: {namespaces: [a]}}]}"))
    said = cli("policy", "convert", check, tmp_path / "x.yaml")
    assert (said.code, said.out) == (2, "")
    assert "ClusterPolicy/x: spec.rules[0].exclude" in said.err
    assert "policy-unsupported" in said.err
